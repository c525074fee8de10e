"""A user's own MGPHot files (Zenodo 15372063), read beside the catalog.

Their values may not be passed on: they leave this module as numbers to be compared with, never in a refusal or an
error. A row belongs to the one track of the catalog with its artist and title.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from assets.content.mgphot_attributes import COLUMNS, column_name
from assets.sources.identity import normalised
from resources.refusals import Refusal, refused_frame

GENES_FILE = "mgphot_genes.tsv"
VALUES_COLUMN = "gene_values"
NEEDED = {"artist", "title", VALUES_COLUMN}
SEPARATORS = re.compile(r"[,;\s]+")
QUOTED = re.compile('"((?:[^"]|"")*)"')
GENES = {"track_id": pl.String, **dict.fromkeys(COLUMNS, pl.Float32)}


class Genes(NamedTuple):
    """(track_id, 58 attributes 0..1) of the catalog tracks that the user's files know, and the rows left out."""

    values: pl.DataFrame
    refused: pl.DataFrame


def own_genes(folder: Path, tracks: pl.DataFrame) -> Genes:
    """The gene values of the user's MGPHot files, `mgphot_genes.tsv` and the one with a column gene_values.

    tracks has track_id, artist, title. Nothing where the folder holds no values. Reasons: no_such_track,
    ambiguous_track (several tracks, or rows, of one artist and title), bad_values (not 58 numbers in 0..1), bad_layout
    (more or fewer fields than columns), bad_encoding. Raises ValueError for files that are not laid out as published.
    """
    path = _values_file(folder)
    if path is None:
        return Genes(pl.DataFrame(schema=GENES), refused_frame([]))
    columns = _columns(folder / GENES_FILE)
    by_name: dict[tuple[str, str], list[str]] = {}
    for track_id, artist, title in tracks.select("track_id", "artist", "title").sort("track_id").iter_rows():
        by_name.setdefault((normalised(artist), normalised(title)), []).append(track_id)
    rows = list(_rows(path))
    times = Counter(row.name for row in rows if row.is_whole)
    found: list[dict[str, object]] = []
    refusals: list[Refusal] = []
    for row in rows:
        track_ids = by_name.get(row.name, [])
        refusal = _refusal(path, row, len(track_ids), times[row.name])
        if refusal:
            refusals.append(refusal)
        else:
            found.append({"track_id": track_ids[0], **dict(zip(columns, row.values, strict=True))})
    return Genes(pl.DataFrame(found, schema=GENES).sort("track_id"), refused_frame(refusals))


class _Row(NamedTuple):
    """One line of the user's file: the names as written and as compared, its values if they are good.

    One that is not whole has another number of fields than the file has columns, and no names: what stands in their
    place may be values.
    """

    line: int
    is_whole: bool
    shown: str
    name: tuple[str, str]
    values: list[float]


def _values_file(folder: Path) -> Path | None:
    """The one TSV with gene values. Raises ValueError for several."""
    found = [path for path in sorted(folder.glob("*.tsv")) if VALUES_COLUMN in _header(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder}: {names} all have a column {VALUES_COLUMN}; leave one of them there")
    if found and (missing := NEEDED - set(_header(found[0]))):
        raise ValueError(f"{found[0]}: lacks the columns {', '.join(sorted(missing))}")
    return found[0] if found else None


def _columns(path: Path) -> list[str]:
    """The attributes in the order of the values: that of the rows of the genes file, or the schema's without one."""
    if not path.is_file():
        return list(COLUMNS)
    if "name" not in _header(path):
        raise ValueError(f"{path}: lacks the column name")
    names = [column_name(record.get("name", "")) for _, record in _records(path)]
    if sorted(names) != sorted(COLUMNS):
        odd = sorted(set(names) ^ set(COLUMNS))
        raise ValueError(f"{path}: wanted the 58 attributes of MGPHot once each, got {len(names)}; differing: {odd}")
    return names


def _rows(path: Path) -> Iterator[_Row]:
    for line, record in _records(path):
        if not record:
            yield _Row(line, False, "", ("", ""), [])
            continue
        artist, title = record["artist"], record["title"]
        shown = f"{artist} - {title}"
        yield _Row(line, True, shown, (normalised(artist), normalised(title)), _numbers(record[VALUES_COLUMN]))


def _numbers(text: str) -> list[float]:
    """58 numbers in 0..1 from a list as Python or JSON writes it, or with commas or spaces; empty if it is not that."""
    parts = [part for part in SEPARATORS.split(text.strip().strip("[]()")) if part]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return []
    is_good = len(numbers) == len(COLUMNS) and all(math.isfinite(number) and 0 <= number <= 1 for number in numbers)
    return numbers if is_good else []


def _refusal(path: Path, row: _Row, tracks: int, times: int) -> Refusal | None:
    """Why a row is left out; its names are told only where its values were found in their own place."""
    where = (path.name, f"line {row.line}")
    if not row.is_whole:
        return Refusal(*where, "bad_layout", "has more or fewer fields than the file has columns")
    if not row.values:
        return Refusal(*where, "bad_values", f"wanted {len(COLUMNS)} numbers from 0 to 1")
    if "\ufffd" in row.shown:
        return Refusal(*where, "bad_encoding", "its artist or title is not UTF-8")
    if tracks == 0:
        return Refusal(*where, "no_such_track", row.shown)
    if tracks > 1 or times > 1:
        return Refusal(*where, "ambiguous_track", f"{row.shown}: {tracks} tracks of the catalog, {times} rows")
    return None


def _header(path: Path) -> list[str]:
    return next(_lines(path), (0, []))[1]


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line after the header by column names; nothing by them where the fields are not as many as the columns."""
    lines = _lines(path)
    _, header = next(lines, (0, []))
    for number, fields in lines:
        yield number, dict(zip(header, fields, strict=True)) if len(fields) == len(header) else {}


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line that is not blank, with its number.

    A quote is a character like others unless one pair encloses a field: read as CSV, the odd quote of a title would
    swallow the values that follow. So neither a tab nor a line break can be part of a field.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, [_unquoted(field) for field in line.removesuffix("\n").split("\t")]


def _unquoted(field: str) -> str:
    quoted = QUOTED.fullmatch(field)
    return quoted[1].replace('""', '"') if quoted else field
