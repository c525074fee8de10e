"""`python -m dagster_project.chat`: talk to the trained recommender, here or, with `--page`, in a browser.

It shows tracks, why they were chosen, and the reply; follow-ups know what was said. `/new` begins a new conversation,
an empty line or the end of input ends it.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assets.catalog.tables import TRACKS
from assets.content.tables import TAGS
from assets.tokens.tables import TALKPLAY_TOKENS
from assets.training.tables import TALKPLAY_MODEL, has_model
from dagster_project.settings import Settings, settings
from resources.lake import Lake, LakeError
from resources.talkplay_settings import FULL, variant_of
from resources.torch_turn import Turn, device_of

if TYPE_CHECKING:
    from assets.training.recommender import PastTurn, Recommender, Reply

INTERRUPTED = 130  # as shells count it
PROMPT = "\nyou: "
NEW = "/new"


def main(arguments: Sequence[str]) -> int:
    """Talks until the input ends. Returns 1 if there is no model, a setting is wrong or the port is taken."""
    options = _options(arguments)
    try:
        chosen = settings()
        variant_of(options.variant)
        print(f"opening {TALKPLAY_MODEL.path}/{options.variant} in {chosen.lake}", file=sys.stderr, flush=True)
        recommender = opened(chosen, options.variant)
        seed = chosen.profile.recommending.seed if options.seed is None else options.seed
        if options.page:
            _serve(recommender, options, seed)
        else:
            _talk(recommender, options, seed)
    except (ValueError, OSError, LakeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    return 0


def opened(chosen: Settings, variant: str) -> "Recommender":
    """The recommender of the lake's model and tokens. Raises LakeError naming what to materialize."""
    lake, profile = Lake(root=str(chosen.lake)), chosen.profile
    folder = lake.file(TALKPLAY_MODEL, variant)
    if not has_model(lake, variant):
        raise LakeError(
            f"{TALKPLAY_MODEL.path}/{variant} in {lake.root} holds no model, for there were no training rows: "
            "bring playlists, and fill again"
        )
    # After the look: these imports take seconds.
    from transformers.utils.logging import disable_progress_bar

    from assets.training.recommender import Catalog, open_recommender

    disable_progress_bar()  # of weights, among a person's lines
    return open_recommender(
        Path(folder),
        Catalog(lake.read(TALKPLAY_TOKENS), lake.read(TRACKS), lake.read(TAGS)),
        profile.recommending,
        weights=profile.index.weights,
        context_length=profile.shards.context_length,
        turn=Turn(threads=profile.workers.torch_threads),
        device=device_of(profile.workers.device),
    )


def told(reply: "Reply") -> str:
    """A reply as text: the tracks with what spoke for them, then the words."""
    lines = [] if reply.suggestions else ["  No track fits that was not shown before."]
    for number, track in enumerate(reply.suggestions, start=1):
        names = " · ".join(filter(None, (track.title, track.artist, track.album)))
        reasons = " · ".join(filter(None, (", ".join(track.reasons), ", ".join(track.tags))))
        lines += [f"{number:>3}. {names}", *([f"     {reasons}"] if reasons else [])]
    return "\n".join([*lines, *(["", reply.response] if reply.response else [])])


def past_turn(query: str, reply: "Reply") -> "PastTurn":
    """What a later turn knows of this one."""
    from assets.training.recommender import PastTurn

    shown = [track.track_id for track in reply.suggestions]
    return PastTurn(query, shown[0] if shown else None, reply.response, shown[1:])


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dagster_project.chat", description=__doc__)
    parser.add_argument("--say", metavar="TEXT", action="append", help="ask this and stop; again: a follow-up")
    parser.add_argument("--page", action="store_true", help="serve a page for a browser of this machine")
    parser.add_argument("--port", type=int, default=3210, help="of the page (3210); 0: any that is free")
    parser.add_argument("--variant", default=FULL, help="which trained model; full, without_lyrics, ...")
    parser.add_argument("--top", type=_positive, default=5, help="most tracks of a reply (5)")
    parser.add_argument("--sampled", action="store_true", help="sample tokens and look them up, as published")
    parser.add_argument("--seed", type=int, help="of sampling and of the reply's words; else the profile's")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 50:
        raise argparse.ArgumentTypeError(f"{text} given; wanted 1 to 50")
    return int(text)


def _serve(recommender: "Recommender", options: argparse.Namespace, seed: int) -> None:
    from dagster_project.chat_page import ChatServer

    with ChatServer(recommender, port=options.port, top=options.top, is_sampled=options.sampled, seed=seed) as server:
        print(f"{server.address}  (Ctrl+C ends it)", flush=True)
        server.serve_forever()


def _talk(recommender: "Recommender", options: argparse.Namespace, seed: int) -> None:
    past: list[PastTurn] = []
    for query in options.say or _typed():
        if query == NEW:
            past = []
            continue
        try:
            reply = recommender.reply(past, query, top=options.top, is_sampled=options.sampled, seed=seed)
        except ValueError as error:
            if options.say:
                raise
            print(error, file=sys.stderr)
            continue
        print(told(reply), flush=True)
        past.append(past_turn(query, reply))


def _typed() -> Iterator[str]:
    """What a person types, or what comes through a pipe, line by line, up to an empty line."""
    import readline  # gives `input` its line editing

    assert readline
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while True:
        try:
            query = input(PROMPT if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if not query:
            return
        yield query


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
