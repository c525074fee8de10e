"""The names of a log line's track: fields, cleaning, ids."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources import log_names
from assets.sources.log_names import NAME_COLUMNS, NOT_UTF8, WRONG_COLUMNS, split_names

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\t\n"), max_size=20)
TEXTS = st.one_of(
    st.tuples(TEXT, TEXT, TEXT, TEXT).map("\t".join).map(str.encode), TEXT.map(str.encode), st.binary(max_size=20)
)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, max_size=20), part_bytes=st.integers(1, 60))
def test_names_are_the_same_in_parts_of_any_size(texts: list[bytes], part_bytes: int) -> None:
    """Where the texts are cut apart to be split at once changes nothing."""
    whole = split_names(pa.array(texts, pa.large_binary()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_names, "PART_BYTES", part_bytes)
        assert split_names(pa.array(texts, pa.large_binary())).equals(whole)
    assert whole.height == len(texts)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        *((name, name) for name in ("", "of 12 bytes.", "of 13 bytes..", "with a space inside")),
        *((f"{space}Dawn", "Dawn") for space in (" ", "\u00a0", "\x00")),
        *((f"Dawn{space}", "Dawn") for space in (" ", "\u3000", "\x7f")),
        ("e\u0301", "\u00e9"),
        ("\u00e9" * 1000, "\u00e9" * 1000),
        ("x" * 1001, "x" * 1000),
        ("x" * 999 + " xx", "x" * 999),
    ],
)
def test_names_are_cleaned(name: str, cleaned: str) -> None:
    """Composed, without control characters and outer spaces, at most 1,000 characters."""
    names = split_names(pa.array([f"\t{name}\t\t{name}".encode()], pa.large_binary()))
    assert (names["artist_name"].item(), names["track_name"].item()) == (cleaned, cleaned)


@pytest.mark.parametrize(
    ("text", "is_id"),
    [("0a1b-2c:3_d.E", True), ("x" * 128, True), ("", False), ("x" * 129, False), ("a b", False), ("\u00e9", False)],
)
def test_only_ids_are_ids(text: str, is_id: bool) -> None:
    """Letters, digits and `:_.-`, at most 128; anything else is null."""
    names = split_names(pa.array([f"{text}\tA\t{text}\tT".encode()], pa.large_binary()))
    assert names["artist_mbid"].to_list() == names["track_mbid"].to_list() == [text if is_id else None]


def test_three_tabs_make_four_fields() -> None:
    """Fewer and more are wrong; bytes that are no UTF-8 come first."""
    texts = [b"\tA\t\tT", b"\tA\t", b"\tA\t\tT\t", b"\xff"]
    names = split_names(pa.array(texts, pa.large_binary()))
    assert names["reason"].to_list() == [0, WRONG_COLUMNS, WRONG_COLUMNS, NOT_UTF8]
    assert names.columns[: len(NAME_COLUMNS)] == NAME_COLUMNS
