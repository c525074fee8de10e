"""The need for a language model: requests in, one validated answer or refusal for each out, in order.

Every provider walks one path: raw text, JSON, strict validation against the request's response model. Text that came
from outside (titles, lyrics, playlist names) goes into a request's payload only, and only as `marked` leaves it.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, JsonValue, ValidationError

from resources.hashing import digest_of
from resources.profile import Conversations

RefusalReason = Literal["unparsable", "schema_violation", "unknown_task", "bad_payload"]

MARKED_CHARACTERS = 200
# Removed: controls, formats (bidi overrides, zero-width and tag characters), surrogates, private use.
UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co"})
HARMLESS = frozenset("\n\t\u200d")  # a model may break a line, or join emoji
# Every token of our vocabularies and of the usual models' opens with < or is a capitalised word in square brackets.
OPENING_BRACKET = re.compile("[<\uff1c\ufe64](?!3)")  # "<3" is a heart, and nothing can close it any more
CLOSING_BRACKET = re.compile("[>\uff1e\ufe65]")
BRACKETED_TOKEN = re.compile(r"\[(/?[A-Z][A-Z_]+)\]")
SPECIAL_TOKEN = re.compile(r"<\||\|>|<!--|<[/!a-zA-Z_][^<>]*>|[\uff1c\ufe64][^\uff1e\ufe65]*[\uff1e\ufe65]|```")
PLAIN = re.compile(r"[ -;=?-Z^_a-~]*")  # printable ASCII without < > [ \ ] and `
FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Request:
    """One piece of work: the task by name and in words, its data, and the form that an answer must have."""

    task: str
    prompt_version: str
    instructions: str
    payload: dict[str, JsonValue]
    response_model: type[BaseModel]


class Answer(NamedTuple):
    """An answer that fits its request's response model."""

    request_id: str
    value: BaseModel


class Refused(NamedTuple):
    """A request that got no usable answer, and why."""

    request_id: str
    reason: str
    detail: str


class LanguageModel(Protocol):
    """Whoever answers requests. A model that can't be reached raises; a request that can't be done is refused."""

    @property
    def name(self) -> str:
        """The model and whatever else decides its answers; part of the key under which an answer is kept."""

    def answer(self, requests: Sequence[Request]) -> Iterator[Answer | Refused]:
        """One result for each request, in order."""


def request_id(request: Request) -> str:
    """SHA-256 of everything that an answer depends on but the model: equal requests have equal ids, on any machine."""
    schema = _schema(request.response_model)
    return digest_of([request.task, request.prompt_version, request.instructions, request.payload, schema])


def validated(request: Request, identity: str, text: str) -> Answer | Refused:
    """The raw answer read as JSON and checked strictly; only a code fence around it is forgiven, nothing is repaired.

    `identity` is the request's id, which its caller knows already.
    """
    fenced = FENCE.fullmatch(text)
    try:
        value = request.response_model.model_validate_json(fenced[1] if fenced else text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return Refused(identity, "unparsable", first["msg"])
        path = ".".join(str(step) for step in first["loc"])
        return Refused(identity, "schema_violation", f"{path}: {first['msg']}")
    return Answer(identity, value)


def marked(text: str, *, characters: int = MARKED_CHARACTERS) -> str:
    """Text from outside made safe to quote: one line of visible characters, cut, with nothing that reads as a token.

    Angle brackets become ‹ and ›, `[INST]` becomes `(INST)`; what is left can be neither a token nor an end of one.
    """
    line = " ".join(text.split())
    if PLAIN.fullmatch(line):
        return line[:characters].rstrip()
    seen = "".join(character for character in line if unicodedata.category(character) not in UNSEEN_CATEGORIES)
    quoted = CLOSING_BRACKET.sub("›", OPENING_BRACKET.sub("‹", seen))
    return " ".join(BRACKETED_TOKEN.sub(r"(\1)", quoted).replace("```", "'''")[:characters].split())


def has_special_token(text: str) -> bool:
    """Whether a text holds what a tokenizer, terminal or page would obey: token, tag, fence or hidden character."""
    if SPECIAL_TOKEN.search(text) or BRACKETED_TOKEN.search(text):
        return True
    return not text.isprintable() and any(
        unicodedata.category(character) in UNSEEN_CATEGORIES for character in set(text) - HARMLESS
    )


@cache
def _schema(model: type[BaseModel]) -> JsonValue:
    schema: JsonValue = model.model_json_schema()
    return schema


def language_model(settings: Conversations) -> LanguageModel:
    """The language model that the profile names."""
    from resources.answer_rules import RuleAnswerer  # here, because it implements this contract

    return RuleAnswerer(seed=settings.seed)
