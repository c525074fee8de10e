"""A whole reply read as its request's answer: repaired within narrow bounds, then checked strictly.

Only for replies that ended by themselves: what was cut off must never come here. Left out: sense, language and
length; those are a request's own `check`.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from json_repair import repair_json
from pydantic import BaseModel, ValidationError
from rapidfuzz.fuzz import ratio

from resources.desk.prompts import COPIED_MARK
from resources.language_model import Answer, Complaint, Repair, Request, request_id
from resources.title_leaks import words

UNPARSABLE = "unparsable"
SCHEMA_VIOLATION = "schema_violation"
UNKNOWN_TRACK = "unknown_track"
OUTSIDE_CLOSED_SET = "outside_closed_set"

FENCE = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)```", re.DOTALL)
OPENING = re.compile(r"\{\s*(?:[\"'“}]|\w+\s*:)")  # of an object; prose may say {like this}
STRING_OR_BRACE = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}]', re.DOTALL)
# The library's time grows with the square of the nesting: 0.2 s at most within these bounds.
MENDED_CHARACTERS = 50_000
MENDED_BRACKETS = 1_000
COMMENT = re.compile(r"(?://|#)[^\n\"'“”\d]*$", re.MULTILINE)  # without a string or a number in it
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPED = {'"': '"', "'": "'", "\\": "\\", "/": "/", **dict.fromkeys("bfnrt", " ")}
# A number, a word, a string of nothing, or a sign that is none of JSON's.
TOKEN = re.compile(r"""(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?!\w)|\w+|""|''|“”|[^\s{}[\]:,"'“”]""")
WORDS = {"none": "null", "''": '""', "“”": '""'}  # the ways in which others are written
SAME = 95.0  # of 100, Levenshtein ratio: faults B.4, TalkPlayData 2 matches its recommendations so too
TRACK_FIELDS = ("track_id", "track_ids")
ERRORS_SHOWN = 3
QUOTED_CHARACTERS = 80


class Stray(NamedTuple):
    """A value outside its closed set: its field, the path to it, and the dict or list that holds it under a key."""

    name: str
    path: str
    holder: Any
    key: str | int


def read(request: Request, text: str) -> Answer | Complaint:
    """The answer that a whole reply holds, or what is wrong with it. Never raises for any text.

    `unparsable`: no JSON object, or several. `schema_violation`: names the path. `unknown_track` for fields of track
    ids, `outside_closed_set` for others. Beside these the reasons of the request's own check.
    """
    text = COPIED_MARK.sub(" ", text)
    repairs: list[Repair] = []
    try:
        try:
            loaded = _loaded(text)
        except ValueError:
            loaded = _repaired(text)
            repairs.append("json")
        value = _validated(request, loaded)
    except (ValueError, RecursionError) as error:
        return Complaint(UNPARSABLE, str(error))
    if isinstance(value, Complaint):
        return value
    strays = list(_strays(request, loaded, "", ""))
    for stray in strays:
        meant = _meant(request, stray.name, stray.holder[stray.key])
        if meant is None:
            return _stray_complaint(stray)
        stray.holder[stray.key] = meant
    if strays:
        repairs.append("track_id")
        value = _validated(request, loaded)
        if isinstance(value, Complaint):
            return value
    return request.check(value) or Answer(request_id(request), value, tuple(repairs))


def _loaded(text: str) -> Any:
    """JSON, strictly: JSONDecodeError for what is none, another ValueError for NaN, infinity and a repeated field."""
    return json.loads(text, parse_constant=_refused_constant, parse_float=_finite, object_pairs_hook=_once_each)


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:QUOTED_CHARACTERS]} is too large a number")
    return number


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _repaired(text: str) -> Any:
    """The one object that a text holds: in a fence, in prose, or with slips. Several are refused, none is chosen."""
    fences = FENCE.findall(text)
    inside = fences[0] if len(fences) == 1 else text
    objects = _objects(inside)
    if len(objects) != 1:
        raise ValueError(f"{len(objects) or 'no'} JSON objects, wanted one")
    try:
        return _loaded(objects[0])
    except json.JSONDecodeError:
        return _mended(inside[inside.index(objects[0]) : inside.rfind("}") + 1], inside)


def _mended(broken: str, text: str) -> Any:
    """An object with its slips (quotes, commas, Python's words) mended by the library, within what it can't make up."""
    if text.count("{") > broken.count("}"):
        raise ValueError("the JSON object is not closed")  # whoever closed it would make up its end
    if len(broken) > MENDED_CHARACTERS or broken.count("{") + broken.count("[") > MENDED_BRACKETS:
        raise ValueError("no JSON, and too long to be mended")
    mended = repair_json(broken, return_objects=True, skip_json_loads=True)
    if not isinstance(mended, dict):
        raise ValueError("no single JSON object")  # the library makes a list of several
    loaded = _loaded(json.dumps(mended))  # which refuses the infinity that it reads 1e309 as
    if _tokens(json.dumps(loaded, ensure_ascii=False)) != _tokens(COMMENT.sub("", broken)):
        # Of two values under one name, or side by side, the library keeps one; for one that is missing it makes one up.
        raise ValueError("no JSON, and not to be mended without a loss")
    return loaded


def _tokens(text: str) -> list[str | float]:
    """The words, numbers and signs of JSON or nearly JSON, within strings and without, in order."""
    plain = ESCAPE.sub(_unescaped, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    found = TOKEN.finditer(plain)
    return [float(token[1]) if token[1] else WORDS.get(token[0].lower(), token[0].lower()) for token in found]


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else ESCAPED.get(code, escape[0])


def _objects(text: str) -> list[str]:
    """The outermost pieces of a text that look like objects, up to the brace that closes each or, if none, the end."""
    pieces: list[str] = []
    end = 0
    while opening := OPENING.search(text, end):
        start, depth, end = opening.start(), 0, len(text)
        for found in STRING_OR_BRACE.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(found[0], 0)
            if depth == 0:
                end = found.end()
                break
        pieces.append(text[start:end])
    return pieces


def _validated(request: Request, loaded: Any) -> BaseModel | Complaint:
    try:
        return request.response_model.model_validate_json(json.dumps(loaded), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":  # half of a surrogate pair
        return Complaint(UNPARSABLE, errors[0]["msg"])
    found = [f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg']}" for one in errors[:ERRORS_SHOWN]]
    return Complaint(SCHEMA_VIOLATION, "; ".join(found))


def _strays(request: Request, value: Any, name: str, path: str) -> Iterator[Stray]:
    """What stands in an answer, at any depth, outside the closed set of its field; null is the schema's affair."""
    if not isinstance(value, dict | list):
        return
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        field = key if isinstance(value, dict) else name
        place = f"{path}.{key}" if path else str(key)
        if isinstance(inner, str) and field in request.closed and inner not in request.closed[field]:
            yield Stray(field, place, value, key)
        yield from _strays(request, inner, field, place)


def _stray_complaint(stray: Stray) -> Complaint:
    reason = UNKNOWN_TRACK if stray.name in TRACK_FIELDS else OUTSIDE_CLOSED_SET
    value = stray.holder[stray.key][:QUOTED_CHARACTERS]
    return Complaint(reason, f'{stray.path}: "{value}" is none of the values allowed for {stray.name}')


def _meant(request: Request, name: str, value: str) -> str | None:
    """The one value of the closed set that is nearly this, or whose track is so called; None if none or several are."""
    best, meant = SAME, set[str]()
    for form, wanted, written in _forms(request, name, value):
        # Numbers tell works and ids apart: "no 5" is not nearly "no 6".
        if not written or _digits(form) != _digits(written):
            continue
        score = ratio(form, written, score_cutoff=best)
        if score > best or (score == best and not meant):
            best, meant = score, {wanted}
        elif score == best:
            meant.add(wanted)
    return meant.pop() if len(meant) == 1 else None


def _forms(request: Request, name: str, value: str) -> Iterator[tuple[str, str, str]]:
    """Each way to write a value of the closed set, the value itself, and what was written in that way."""
    allowed = request.closed[name]
    for wanted in allowed:
        yield wanted.casefold(), wanted, value.strip().casefold()
    tracks = request.payload.get("tracks")
    if name not in TRACK_FIELDS or not isinstance(tracks, list):
        return
    called = " ".join(words(value[: QUOTED_CHARACTERS * 4]))
    for track in tracks:
        if isinstance(track, dict) and track.get("track_id") in allowed:
            title, artist = (" ".join(words(str(track.get(field) or ""))) for field in ("title", "artist"))
            for form in (f"{title} {artist}", f"{title} by {artist}", f"{artist} {title}"):
                yield form, str(track["track_id"]), called


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
