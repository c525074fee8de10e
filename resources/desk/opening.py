"""Opens the language model that a profile's field names."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.desk_settings import LanguageModelName
from resources.language_model import LanguageModel
from resources.profile import Profile


@contextmanager
def open_language_model(
    name: LanguageModelName, profile: Profile, *, lake: Path, log: Callable[[str], None]
) -> Iterator[LanguageModel]:
    """A language model that is closed at the end: with it its workers, or its calls under way.

    `lake` is the lake's folder. Raises ValueError where a price is missing. A key and a budget are wanted by the first
    call, not by replies that are kept.
    """
    if name == "rules":
        from resources.answer_rules import RuleAnswerer

        yield RuleAnswerer(profile.conversations.seed)
    elif name == "chat":
        from resources.chat_model import open_chat_model

        with open_chat_model(profile, kept=lake / ".kept", log=log) as model:
            yield model
    else:
        from resources.desk.online import PaidModel
        from resources.gemini import GeminiCalls, api_key
        from resources.gemini_batch import GeminiJobs

        key = api_key(os.environ)
        calls = GeminiCalls(profile.gemini, profile.desk, key)
        jobs = GeminiJobs(profile.gemini, profile.desk, key)
        folder = desk_folder(profile, lake)
        with PaidModel(calls, jobs, profile.gemini, profile.desk, profile.answers, folder=folder, log=log) as model:
            yield model


def call_name(name: LanguageModelName, profile: Profile) -> str:
    """The name that a model's replies are kept under."""
    if name == "gemini":
        from resources.gemini import reply_name

        return reply_name(profile.gemini)
    return name


def desk_folder(profile: Profile, lake: Path) -> Path:
    """Where replies that were paid for and the ledger are kept: outside of lakes, which may be deleted."""
    return Path(profile.desk.folder).expanduser() if profile.desk.folder else lake.parent / "music-desk"
