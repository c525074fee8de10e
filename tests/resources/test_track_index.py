"""The LanceDB token index: what it refuses, what it gives back, and that no damage goes unseen."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.track_index import (
    CodebookMismatchError,
    DamagedIndexError,
    TrackIndex,
    WrittenIndex,
    open_index,
    write_index,
)

SIZES = {"playlist": 4, "audio": 4}
HOSTILE_IDS = [
    "a",
    "a'b",
    "''",
    "' or '1'='1",
    "x'); drop table token_index; --",
    'q"uote',
    "back\\slash",
    "%",
    "é\U0001f3b5",
]


def tokens(track_ids: list[str], **columns: object) -> pl.DataFrame:
    """A table of tokens: codes 0, 1, 2, 3, 0, ... by row."""
    codes = [row % 4 for row in range(len(track_ids))]
    return pl.DataFrame({"track_id": track_ids, "playlist": codes, "audio": codes, **columns})


def vectors(*rows: list[float] | None) -> pl.Series:
    """A column of two-dimensional vectors."""
    return pl.Series(rows, dtype=pl.Array(pl.Float32, 2))


def write(folder: Path, table: pl.DataFrame) -> WrittenIndex:
    """The table as the index of codebook `new`."""
    return write_index(folder, table, codebook_hash="new", codes_per_modality=SIZES)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of 500 tracks and the hostile ids."""
    folder = tmp_path_factory.mktemp("index")
    write(folder, tokens([*(f"t{row:04d}" for row in range(500)), *HOSTILE_IDS]))
    return folder


@pytest.fixture
def index(written: Path) -> TrackIndex:
    """That index, opened."""
    return open_index(written, codebook_hash="new")


def test_rows_come_back_by_id_with_their_vectors(tmp_path: Path) -> None:
    """Look-ups return codes and vectors in the order asked for, a missing vector as null; unknown ids have no row."""
    write(tmp_path, tokens(["b", "a"], audio_vector=vectors([1.0, 2.0], None)))
    found = open_index(tmp_path, codebook_hash="new").tracks(["b", "nowhere", "a", "b"])
    assert found.select("track_id", "playlist").rows() == [("b", 0), ("a", 1), ("b", 0)]
    assert found["audio_vector"].to_list() == [[1.0, 2.0], None, [1.0, 2.0]]


def test_codes_come_back_sorted_by_id(tmp_path: Path) -> None:
    """Ids and codes for the matcher are in id order, columns in the order of importance that was given."""
    table = pl.DataFrame({"track_id": ["b", "a"], "audio": [1, 2], "playlist": [3, 4]})
    write(tmp_path, table)
    stored = open_index(tmp_path, codebook_hash="new").codes()
    assert stored.track_ids.to_pylist() == ["a", "b"]
    assert stored.codes.tolist() == [[4, 2], [3, 1]]
    assert list(stored.codes_per_modality.items()) == [("playlist", 4), ("audio", 4)]


@pytest.mark.parametrize("track_id", HOSTILE_IDS)
def test_hostile_id_finds_its_own_row_only(index: TrackIndex, track_id: str) -> None:
    """Quotes, SQL and wildcards in an id are text: one row, the right one."""
    assert index.tracks([track_id])["track_id"].to_list() == [track_id]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.sampled_from("'\"\\;-=%_() ortT01*/\n"), max_size=20))
def test_no_text_widens_a_look_up(index: TrackIndex, text: str) -> None:
    """Whatever is asked for, only a row with exactly that id comes back."""
    assert index.tracks([text])["track_id"].to_list() in ([], [text])


def test_more_ids_than_one_filter_holds(index: TrackIndex) -> None:
    """2,500 ids, most unknown, are found in three filters and returned in order."""
    asked = [f"t{row:04d}" for row in reversed(range(2500))]
    assert index.tracks(asked)["track_id"].to_list() == [f"t{row:04d}" for row in reversed(range(500))]


def test_other_codebook_is_refused(written: Path) -> None:
    """Opening tokens of another codebook names both hashes and the asset to run."""
    with pytest.raises(CodebookMismatchError, match="codebook new, wanted newer; materialize index/token_index again"):
        open_index(written, codebook_hash="newer")


def test_mixed_codebooks_are_refused(tmp_path: Path) -> None:
    """Rows that say they are of another codebook never enter an index."""
    with pytest.raises(CodebookMismatchError, match=r"rows of codebook \['old'\], wanted new"):
        write(tmp_path, tokens(["a", "b"], codebook_hash=["new", "old"]))


def test_absent_index_names_its_asset(tmp_path: Path) -> None:
    """An index that was never built is an error that says what to run."""
    with pytest.raises(FileNotFoundError, match="materialize index/token_index"):
        open_index(tmp_path, codebook_hash="new")


def test_existing_index_is_never_overwritten(written: Path) -> None:
    """A second index goes to another folder."""
    with pytest.raises(FileExistsError, match="empty folder"):
        write(written, tokens(["a"]))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_not_a_number_is_refused(tmp_path: Path, number: float) -> None:
    """A vector with NaN or infinity is refused before anything is written, naming column and track."""
    with pytest.raises(ValueError, match="column audio_vector, track c: NaN or infinity"):
        write(tmp_path, tokens(["a", "b", "c"], audio_vector=vectors([1.0, 2.0], None, [1.0, number])))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ids", [["a", "a"], ["a", None]])
def test_ids_are_keys(tmp_path: Path, ids: list[str | None]) -> None:
    """A repeated and a null id are refused: LanceDB would take both."""
    with pytest.raises(ValueError, match="track_id is null or repeated"):
        write(tmp_path, tokens(ids))  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [5, -1, None])
def test_code_out_of_range_is_refused(tmp_path: Path, code: int | None) -> None:
    """Codes are 0..3, and 4 where missing; null is not a code."""
    with pytest.raises(ValueError, match=rf"column audio, track b: code {code}; wanted 0\.\.4"):
        write(tmp_path, tokens(["a", "b"]).with_columns(audio=pl.Series([4, code])))


def test_column_of_another_type_is_refused(tmp_path: Path) -> None:
    """An index holds codes and vectors; a missing modality column and a column of text are errors that name it."""
    with pytest.raises(ValueError, match=r"columns \['audio'\] are missing"):
        write(tmp_path, tokens(["a"]).drop("audio"))
    with pytest.raises(ValueError, match=r"column title is .*; wanted fixed-size floats"):
        write(tmp_path, tokens(["a"], title=["t"]))


def test_content_hash_does_not_depend_on_row_order(tmp_path: Path) -> None:
    """The same tracks in another order are the same index, and open after the folder was renamed."""
    table = tokens([f"t{row}" for row in range(50)], audio_vector=vectors(*[[float(row), 1.0] for row in range(50)]))
    first, second = write(tmp_path / "first", table), write(tmp_path / "second", table.reverse())
    assert first == second
    (tmp_path / "second").rename(tmp_path / "third")
    open_index(tmp_path / "third", codebook_hash="new").verify()


def test_content_hash_sees_each_value(tmp_path: Path) -> None:
    """Another id, another code and a vector gone missing give other hashes."""
    table = tokens(["a", "bc"], audio_vector=vectors([0.0, 1.0], [2.0, 3.0]))
    others = [
        table.with_columns(track_id=pl.Series(["ab", "c"])),
        table.with_columns(audio=pl.Series([1, 0])),
        table.with_columns(audio_vector=vectors(None, [2.0, 3.0])),
        table.with_columns(audio_vector=vectors([2.0, 3.0], None)),
    ]
    hashes = {write(tmp_path / str(place), other).sha256 for place, other in enumerate([table, *others])}
    assert len(hashes) == 5


def test_no_row_is_unindexed(index: TrackIndex) -> None:
    """The key and every code column have a complete index, and only one version is kept."""
    assert {entry.columns[0] for entry in index.table.list_indices()} == {"track_id", "playlist", "audio"}
    assert all(entry.num_unindexed_rows == 0 for entry in index.table.list_indices())
    assert len(index.table.list_versions()) == 1


def test_empty_index_is_an_index(tmp_path: Path) -> None:
    """A catalog without tracks gives an index without rows that opens, verifies and answers."""
    write(tmp_path, tokens(["a"]).clear())
    index = open_index(tmp_path, codebook_hash="new")
    index.verify()
    assert index.codes().codes.shape == (0, 2)
    assert index.tracks(["a"]).is_empty()


def test_indexes_of_other_names_are_apart(tmp_path: Path) -> None:
    """Two indexes lie in one folder; of equal content they have one hash, and messages name each one's asset."""
    table = tokens(["a"])
    named = write_index(tmp_path, table, codebook_hash="other", codes_per_modality=SIZES, name="m3_index")
    assert write(tmp_path, table) == named
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m3_index.lance", "token_index.lance"]
    open_index(tmp_path, codebook_hash="other", name="m3_index").verify()
    with pytest.raises(CodebookMismatchError, match="materialize index/m3_index again"):
        open_index(tmp_path, codebook_hash="new", name="m3_index")


def test_content_hash_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """The hash of a known table is what the first version of this module stored: data versions must not move."""
    table = tokens(["a", "b", "c"], audio_vector=vectors([1.0, 2.0], None, [3.0, 4.0]))
    table = table.with_columns(audio=pl.Series([3, 4, 0]))
    assert write(tmp_path, table).sha256.startswith("156100f41f4fea15")


def damaged(written: Path, folder: Path, pattern: str, change: Callable[[Path], object]) -> Path:
    """A copy of the index in which `change` was done to the first file of that pattern."""
    shutil.copytree(written, folder)
    change(min(folder.glob(f"token_index.lance/{pattern}")))
    return folder


@pytest.mark.parametrize(
    "pattern",
    ["data/*.lance", "_versions/*.manifest", "_indices/*/page_data.lance", "_indices/*/bitmap*.lance", "files.json"],
)
@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-100])])
def test_lost_and_cut_files_are_found(
    written: Path, tmp_path: Path, pattern: str, change: Callable[[Path], object]
) -> None:
    """A deleted or truncated data file, manifest, index or list of files never passes for an index."""
    folder = damaged(written, tmp_path / "copy", pattern, change)
    with pytest.raises(DamagedIndexError, match="materialize index/token_index again"):
        open_index(folder, codebook_hash="new").verify()


def test_forty_flipped_bits_are_found(written: Path, tmp_path: Path) -> None:
    """40 of 40 single changed bits in data and index files are found."""
    draw = random.Random(0)
    files = [file for part in ("data", "_indices") for file in (written / "token_index.lance" / part).rglob("*.lance")]
    for trial in range(40):
        file, folder = draw.choice(files), tmp_path / str(trial)
        flipped = bytearray(file.read_bytes())
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        shutil.copytree(written, folder)
        (folder / file.relative_to(written)).write_bytes(flipped)
        with pytest.raises(DamagedIndexError):
            open_index(folder, codebook_hash="new").verify()


def test_rows_added_behind_its_back_are_found(written: Path, tmp_path: Path) -> None:
    """An index that LanceDB appended to is no longer what was written."""
    shutil.copytree(written, tmp_path / "copy")
    index = open_index(tmp_path / "copy", codebook_hash="new")
    index.table.add([{"track_id": "new", "playlist": 0, "audio": 0}])
    with pytest.raises(DamagedIndexError, match="changed since written"):
        index.verify()


def test_float16_vectors_are_kept(tmp_path: Path) -> None:
    """Half-precision vectors come back in half precision, value for value."""
    halves = np.array([[0.5, 0.25]], dtype=np.float16)
    write(tmp_path, tokens(["a"], audio_vector=pl.Series(halves, dtype=pl.Array(pl.Float16, 2))))
    found = open_index(tmp_path, codebook_hash="new").tracks(["a"])["audio_vector"]
    assert found.dtype == pl.Array(pl.Float16, 2)
    assert found.to_list() == [[0.5, 0.25]]
