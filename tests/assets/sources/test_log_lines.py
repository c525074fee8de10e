"""The lines of a log as integers, and the order of plays."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources import log_lines
from assets.sources.log_lines import NO_NAMES, NO_TIME, read_lines
from assets.sources.log_order import order_plays

FIELD = st.binary(max_size=20).filter(lambda text: not set(text) & set(b"\t\n\r"))
TIMES = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1))


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=60), piece_bytes=st.integers(1, 200))
def test_codes_give_back_their_texts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[bytes, bytes]], piece_bytes: int
) -> None:
    """Equal texts, and only they, share a code, wherever the pieces of the file are cut."""
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    path.write_bytes(b"".join(b"\t".join((listener, b"x", name)) + b"\n" for listener, name in rows))
    if path.read_bytes()[:2] in log_lines.UTF16_MARKS or path.read_bytes()[:3] == log_lines.BYTE_ORDER_MARK:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "PIECE_BYTES", piece_bytes)
        lines = read_lines([path])
    assert [lines.listeners[code].as_py() for code in lines.listener_codes] == [listener for listener, _ in rows]
    assert [lines.names[code].as_py() for code in lines.name_codes] == [name for _, name in rows]
    assert len(lines.names) == len({name for _, name in rows})


def test_many_texts_outgrow_the_first_table(tmp_path: Path) -> None:
    """Codes survive the growth of table and store."""
    path = tmp_path / "log.tsv"
    path.write_text("".join(f"l\tt\t{number % 30_000}\n" for number in range(60_000)))
    codes = read_lines([path]).name_codes
    assert codes.tolist() == list(range(30_000)) * 2


@settings(max_examples=100, deadline=None)
@given(times=st.lists(TIMES, min_size=1, max_size=20))
def test_times_are_those_of_the_calendar(tmp_path_factory: pytest.TempPathFactory, times: list[datetime]) -> None:
    """Seconds since 1970 agree with numpy's, leap years and years before 1970 included."""
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in times]
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    path.write_text("".join(f"l\t{stamp}\tn\n" for stamp in stamps))
    expected = np.array([stamp[:-1] for stamp in stamps], "M8[s]").astype(np.int64)
    assert read_lines([path]).times_s.tolist() == expected.tolist()


def test_lines_without_fields_keep_their_bytes(tmp_path: Path) -> None:
    """What has no time or no names is coded so, and kept."""
    path = tmp_path / "log.tsv"
    path.write_bytes(b"l\t2008-05-04T10:00:00Z\tn\nl\tx\tn\nalone\n2008-05-04T10:00:00Z\tn\n")
    lines = read_lines([path])
    assert lines.times_s.tolist()[1:] == [NO_TIME] * 3
    assert lines.name_codes.tolist() == [0, 0, NO_NAMES, NO_NAMES]
    assert lines.broken == {1: b"l\tx\tn", 2: b"alone", 3: b"2008-05-04T10:00:00Z\tn"}


def test_a_file_without_line_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte on one line is refused before it is in memory."""
    monkeypatch.setattr(log_lines, "PIECE_BYTES", 10)
    monkeypatch.setattr(log_lines, "LINE_BYTES", 40)
    path = tmp_path / "log.tsv"
    path.write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="without an end of line"):
        read_lines([path])


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
def test_plays_are_ordered_by_listener_time_and_reversed_row(rows: list[tuple[int, int]]) -> None:
    """The same order as sorting by (listener, time, -row)."""
    ranks, times = (np.array([row[part] for row in rows], np.int64) for part in range(2))
    expected = sorted(range(len(rows)), key=lambda row: (*rows[row], -row))
    assert order_plays(ranks, times).tolist() == expected
