"""Facts about artists, releases and tracks from JSON lines: one object a line, read strictly, bad lines refused.

Fields that are not known are ignored and counted. Of lines about the same artist, or the same artist and title, the
first stands.
"""

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple, TypeVar

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from assets.sources.mpd import ID_PATTERN, MAX_CHARACTERS, clean_text
from assets.sources.mpd_json import LONE_SURROGATE, RepeatedKeys, json_object
from assets.sources.tables import ARTIST_FACTS, RELEASE_FACTS, TRACK_FACTS
from resources.refusals import Refusal, refused_frame
from resources.tables import Table

REASONS = (
    "not_utf8",
    "broken_json",
    "duplicate_key",  # a line that states a field twice
    "bad_fact",  # a field that is missing or of the wrong type or form
    "duplicate",  # an artist, or an artist and title, that an earlier line describes
)
DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)


class Facts(NamedTuple):
    """The rows of one file, what is refused of it, and on how many lines each unknown field stood."""

    rows: pl.DataFrame
    refused: pl.DataFrame
    unknown_fields: dict[str, int]


def _clean(value: object) -> object:
    return clean_text(LONE_SURROGATE.sub("\0", value)) if isinstance(value, str) else value


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("wanted a text that is not blank")
    return text[:MAX_CHARACTERS]


def _first_of_each(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _lowered(texts: list[str]) -> list[str]:
    return _first_of_each([text.strip().lower() for text in texts])


def _date(text: str) -> str:
    match = DATE.fullmatch(text)
    if match is None:
        raise ValueError("wanted YYYY-MM-DD, YYYY-MM or YYYY")
    year, month, day = (int(part or 1) for part in match.groups())
    dt.date(year, month, day)
    return text


Prose = Annotated[str, BeforeValidator(_clean)]
Name = Annotated[str, BeforeValidator(_clean), AfterValidator(_visible)]
Uri = Annotated[str, Field(pattern=ID_PATTERN)]
Year = Annotated[int, Field(ge=1, le=9999)]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Role(BaseModel):
    model_config = ConfigDict(strict=True)

    name: Name
    role: Name


class _Artist(_Line):
    artist: Name
    artist_uri: Uri | None = None
    roles: list[_Role] = []
    gender: Name | None = None
    birth_year: Year | None = None
    origin: Name | None = None
    biography: Prose | None = None


class _Release(_Line):
    artist: Name
    title: Name
    track_uri: Uri | None = None
    album: Name | None = None
    release_date: Annotated[str, AfterValidator(_date)] | None = None


class _Track(_Line):
    artist: Name
    title: Name
    track_uri: Uri | None = None
    facts: Prose | None = None
    tags: Annotated[list[Prose], AfterValidator(_lowered)] = []
    writers: Annotated[list[Prose], AfterValidator(_first_of_each)] = []


_AnyLine = TypeVar("_AnyLine", bound=_Line)


def read_artists(raw: bytes, source: str) -> Facts:
    """sources/artist_facts from the bytes of artists.jsonl; `source` names the file in refusals."""
    return _read(raw, source, _Artist, ARTIST_FACTS, key=_artist_key, row=_fields)


def read_releases(raw: bytes, source: str) -> Facts:
    """sources/release_facts from the bytes of releases.jsonl; dates are a day, a month (kept as its year) or a year."""
    return _read(raw, source, _Release, RELEASE_FACTS, key=_title_key, row=_release_row)


def read_tracks(raw: bytes, source: str) -> Facts:
    """sources/track_facts from the bytes of tracks.jsonl; tags are lower-cased, each kept once, in their order."""
    return _read(raw, source, _Track, TRACK_FACTS, key=_title_key, row=_fields)


def _artist_key(line: _Artist) -> tuple[str, ...]:
    return (line.artist.casefold(),)


def _title_key(line: _Release | _Track) -> tuple[str, ...]:
    return (line.artist.casefold(), line.title.casefold())


def _fields(line: _Line) -> dict[str, object]:
    return line.model_dump(include=set(type(line).model_fields))


def _release_row(line: _Release) -> dict[str, object]:
    date = line.release_date
    is_day = date is not None and len(date) == len("YYYY-MM-DD")
    return {
        **line.model_dump(include={"artist", "title", "track_uri", "album"}),
        "released_at": dt.date.fromisoformat(date) if date is not None and is_day else None,
        "release_year": int(date[:4]) if date is not None else None,
    }


def _read(
    raw: bytes,
    source: str,
    model: type[_AnyLine],
    table: Table,
    *,
    key: Callable[[_AnyLine], tuple[str, ...]],
    row: Callable[[_AnyLine], dict[str, object]],
) -> Facts:
    rows: list[dict[str, object]] = []
    refusals: list[Refusal] = []
    unknown: Counter[str] = Counter()
    described: dict[tuple[str, ...], str] = {}
    for location, text in _lines(raw):
        try:
            line = _parsed(text, model)
        except _RefusedLineError as error:
            refusals.append(Refusal(source, location, error.reason, error.detail))
            continue
        unknown.update(_clean_key(name) for name in line.model_extra or ())
        earlier = described.setdefault(key(line), location)
        if earlier != location:
            refusals.append(Refusal(source, location, "duplicate", f"{' - '.join(key(line))} is on {earlier}"))
            continue
        rows.append(row(line))
    frame = pl.DataFrame(rows, schema=table.empty().schema)
    return Facts(frame, refused_frame(refusals), dict(sorted(unknown.items())))


class _RefusedLineError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def _lines(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The lines that are not blank, each with its place: `line 1` is the first."""
    for number, text in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if text.strip():
            yield f"line {number}", text


def _parsed(text: bytes, model: type[_AnyLine]) -> _AnyLine:
    """The line as its model. Raises _RefusedLineError."""
    try:
        fields = json.loads(text.decode(), object_pairs_hook=json_object)
    except UnicodeDecodeError as error:
        raise _RefusedLineError("not_utf8", f"byte {error.start} of the line is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _RefusedLineError("broken_json", str(error)) from error
    if isinstance(fields, RepeatedKeys):
        raise _RefusedLineError("duplicate_key", f"one of {sorted(fields)} stands twice")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _RefusedLineError("bad_fact", f"{place}: {first['msg']}, got {first['input']!r}") from error


def _clean_key(name: str) -> str:
    return str(_clean(name))[:MAX_CHARACTERS]
