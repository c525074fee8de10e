"""What the model of the sample Gemini server writes: rule-made answers, and their spoilt forms.

Seed and request decide an answer, and above temperature 0 also how often the same was answered before. A prompt that is
not one of the desk's gets the plainest value of its schema.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resources.desk.calls import Message
from resources.sample.gemini.faults import Fault
from resources.sample.gemini.protocol import Json, Written, first_tokens, tokens_of
from resources.sample.gemini.requests import Asked

Answering = Callable[[str, list[Message], Json | None], str]

KNOWN_TO_NO_ONE = "track-that-is-in-no-playlist"
FOREIGN = "Das ist ein Satz in einer anderen Sprache, und niemand hat danach gefragt."
THOUGHTS = 'Let me look at the tracks first. The answer should be JSON: {"turns": []} or something like it.'
PLAIN_TEXT = "There is nothing in this request that I could answer by rule."
SILENT_FINISHES = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"})
PLAIN_VALUES: Json = {"STRING": "x", "NUMBER": 0.0, "INTEGER": 0, "BOOLEAN": False, "NULL": None}


@dataclass(frozen=True, slots=True)
class Model:
    """The model behind the server; `answer` takes the place of the rules."""

    seed: int
    answer: Answering | None = None

    def write(self, asked: Asked, *, answered_before: int, fault: Fault | None) -> Written:
        """What comes back, with its tokens."""
        text = self._text(asked, answered_before)
        if fault and fault.layer == "text":
            text = _spoilt(text, asked, fault)
        whole = tokens_of(text)
        written = Written(text, output_tokens=whole)
        if whole > asked.max_output_tokens:
            text = first_tokens(text, asked.max_output_tokens)
            written = Written(text, finish="MAX_TOKENS", output_tokens=asked.max_output_tokens)
        return _with(written, fault, asked.max_output_tokens) if fault and fault.layer == "reply" else written

    def _text(self, asked: Asked, answered_before: int) -> str:
        if self.answer:
            return self.answer(asked.system, list(asked.messages), asked.schema)
        draw = f"{asked.identity}/{answered_before if asked.temperature else 0}"
        return _by_rules(asked, self.seed, draw) or _plainest_text(asked.schema)


def payload_text(asked: Asked) -> str:
    """All that was said to the model, and the payload without its marks."""
    request = _request_of(asked)
    return asked.text if request is None else f"{asked.text}\n{json.dumps(request[1], ensure_ascii=False)}"


def _by_rules(asked: Asked, seed: int, draw: str) -> str | None:
    from resources.answer_rules import answer_text

    request = _request_of(asked)
    if request is None:
        return None
    try:
        return answer_text(request[0], request[1], seed=seed, identity=draw)
    except (LookupError, ValueError):
        return None


def _request_of(asked: Asked) -> tuple[str, Json] | None:
    from resources.desk.prompts import read_request

    try:
        return read_request(asked.messages[0].text)
    except ValueError:
        return None


def _plainest_text(schema: Json | None) -> str:
    return json.dumps(_plainest(schema)) if schema else PLAIN_TEXT


def _plainest(schema: Any) -> Any:
    """The first value that fits a schema of either kind, `$ref` left out."""
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("anyOf"):
        return _plainest(schema["anyOf"][0])
    kinds = schema.get("type", "STRING")
    kind = (kinds[0] if isinstance(kinds, list) else kinds).upper()
    if kind == "OBJECT":
        return {name: _plainest(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "ARRAY":
        return [_plainest(schema["items"])] * max(1, int(schema.get("minItems", 1)))
    return max(PLAIN_VALUES[kind], schema["minimum"]) if "minimum" in schema else PLAIN_VALUES[kind]


def _with(written: Written, fault: Fault, most_tokens: int) -> Written:
    """A reply that is no answer, or one with something more or less to it."""
    thought = tokens_of(THOUGHTS)
    half = first_tokens(written.text, max(1, written.output_tokens // 2))
    reason = fault.reason or "OTHER"
    spoilt: dict[str, Written] = {
        "prompt_blocked": Written("", blocked=str(fault.reason or "PROHIBITED_CONTENT")),
        "no_candidates": Written("", has_candidates=False),
        "empty_text": Written(""),
        "no_usage": replace(written, has_usage=False),
        "thoughts": replace(written, thoughts=THOUGHTS, thought_tokens=thought),
        "hidden_thoughts": replace(written, thought_tokens=thought),
        "only_thoughts": Written("", finish="MAX_TOKENS", thought_tokens=most_tokens),
        "max_tokens": replace(written, text=half, finish="MAX_TOKENS", output_tokens=tokens_of(half)),
        "finish": Written("", finish=reason) if reason in SILENT_FINISHES else replace(written, finish=reason),
    }
    return spoilt[fault.name]


def _spoilt(text: str, asked: Asked, fault: Fault) -> str:
    """An answer that is not what was asked for. Where it has no track ids, it is spoilt as `wrong_schema`."""
    match fault.name:
        case "fenced":
            return f"```json\n{text}\n```"
        case "prose_around":
            return f"Sure! Here is what you asked for:\n\n{text}\n\nLet me know if you want any changes."
        case "truncated_json":
            return text[: len(text) * 2 // 3].rstrip("}] \n")
        case "wrong_language":
            return json.dumps(_in_other_words(_value_of(text)), ensure_ascii=False)
        case "wrong_schema":
            return json.dumps({"result": _value_of(text), "confidence": "high"}, ensure_ascii=False)
        case _:
            return _with_wrong_track(text, asked, fault)


def _with_wrong_track(text: str, asked: Asked, fault: Fault) -> str:
    answer = _value_of(text)
    rows = list(_rows_with_track(answer))
    if not rows:
        return _spoilt(text, asked, replace(fault, name="wrong_schema"))
    if fault.name == "unknown_track":
        rows[0]["track_id"] = KNOWN_TO_NO_ONE
    elif fault.name == "repeated_track":
        rows[-1]["track_id"] = rows[0]["track_id"]
    else:
        track = next(track for track in _tracks(asked) if track["track_id"] == rows[0]["track_id"])
        form = str(fault.reason or "{title} {artist}")
        rows[0]["track_id"] = form.format(title=track["title"], artist=track["artist"])
    return json.dumps(answer, ensure_ascii=False)


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # an `answer` of a test may write anything
        return text


def _rows_with_track(answer: Any) -> Iterator[dict[str, Any]]:
    for inner in answer if isinstance(answer, list) else answer.values() if isinstance(answer, dict) else ():
        yield from _rows_with_track(inner)
    if isinstance(answer, dict) and "track_id" in answer:
        yield answer


def _tracks(asked: Asked) -> Sequence[Any]:
    request = _request_of(asked)
    tracks = request[1].get("tracks") if request else None
    return tracks if isinstance(tracks, list) else []


def _in_other_words(answer: Any) -> Any:
    """Every sentence in another language; ids, numbers and short words stay."""
    if isinstance(answer, dict):
        return {name: _in_other_words(inner) for name, inner in answer.items()}
    if isinstance(answer, list):
        return [_in_other_words(inner) for inner in answer]
    return FOREIGN if isinstance(answer, str) and " " in answer else answer
