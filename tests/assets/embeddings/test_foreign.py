from importlib import import_module
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.catalog.tables import TRACKS
from assets.embeddings import foreign
from assets.embeddings.foreign import brought_in
from assets.embeddings.tables import REFUSED, VECTORS
from assets.embeddings.vectors import Vectors
from assets.partitions import TRACK_SHARDS
from assets.sources.identity import bucket_of
from dagster_project.stages import STAGES
from resources.files import bytes_sha256
from resources.lake import Lake
from resources.profile import EMBEDDED
from resources.raw import RawFolder

TABLE, PLAYLIST = VECTORS["audio"], VECTORS["playlist"]
URI = "spotify:track:b"
Rows = list[tuple[str | None, list[float | None] | None]]


def file_of(path: Path, rows: Rows, kind: pl.DataType | None = None) -> Path:
    """A Parquet file of track ids and vectors."""
    path.parent.mkdir(exist_ok=True)
    schema: dict[str, pl.DataType | type[pl.DataType]] = {"track_id": pl.String, "vector": kind or pl.List(pl.Float64)}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
    return path


def brought(file: Path, *track_ids: str, shard: int = 0, shards: int = 1) -> Vectors:
    """The vectors of the shard's tracks from the file, both frames checked."""
    ids = [id_ for id_ in track_ids if bucket_of(id_, shards) == shard]
    vectors = brought_in(
        file,
        pl.Series("track_id", ids, dtype=pl.String),
        shard=shard,
        shards=shards,
        version=bytes_sha256(file),
        table=TABLE,
    )
    return Vectors(TABLE.checked(vectors.vectors), REFUSED.checked(vectors.refused))


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.List(pl.Float64), pl.Array(pl.Float32, 2)])
def test_vectors_are_scaled_to_unit_length(tmp_path: Path, kind: pl.DataType) -> None:
    """A track that the file does not name, or names with null, has none."""
    file = file_of(tmp_path / "audio.parquet", [(URI, [3.0, 4.0]), ("c", None), ("a", [0.0, 2.0])], kind)
    result = brought(file, "c", "a", URI, "d")
    assert dict(result.vectors.select("track_id", "vector").iter_rows()) == {
        "a": [0.0, 1.0],
        "c": None,
        "d": None,
        URI: pytest.approx([0.6, 0.8]),
    }
    assert set(result.vectors["encoder"]) == {f"audio.parquet {bytes_sha256(file)[:12]}"}
    assert result.refused.is_empty()


def test_bad_and_repeated_vectors_are_refused(tmp_path: Path) -> None:
    """Of two rows of a track the first counts."""
    rows: Rows = [("b", [1.0, 0.0]), ("b", [0.0, 1.0]), ("a", [float("nan"), 1.0]), ("c", [0.0, 0.0])]
    result = brought(file_of(tmp_path / "audio.parquet", rows), "a", "b", "c")
    assert result.vectors["vector"].to_list() == [None, [1.0, 0.0], None]
    assert result.refused.select("location", "reason").rows() == [
        ("a", "bad_embedding"),
        ("b", "repeated_track"),
        ("c", "bad_embedding"),
    ]


def test_a_null_inside_a_vector_is_a_bad_embedding(tmp_path: Path) -> None:
    """It is not taken for 0."""
    result = brought(file_of(tmp_path / "audio.parquet", [("a", [1.0, None])]), "a")
    assert result.refused["reason"].to_list() == ["bad_embedding"]


def test_rows_of_no_track_are_refused_once(tmp_path: Path) -> None:
    """Over all shards, each row that names no track of the catalog is refused once, and a nameless one too."""
    known = [f"track {number}" for number in range(20)]
    unknown = [f"stranger {number}" for number in range(20)]
    file = file_of(tmp_path / "audio.parquet", [(name, [1.0]) for name in [*known, *unknown, None]])
    results = [brought(file, *known, shard=shard, shards=4) for shard in range(4)]
    refused = pl.concat([result.refused for result in results])
    assert sorted(refused["location"]) == sorted(["", *unknown])
    assert set(refused["reason"]) == {"no_such_track"}
    assert "audio.parquet: row 40, counted from 0" in refused["detail"].to_list()
    assert sum(result.vectors["vector"].drop_nulls().len() for result in results) == 20


@pytest.mark.parametrize("shard", [0, 1])
def test_vectors_of_two_lengths_are_an_error_in_every_shard(tmp_path: Path, shard: int) -> None:
    """They cannot be of one encoder, even if each shard's are of one length."""
    of_0 = next(name for name in "abcdefgh" if bucket_of(name, 2) == 0)
    of_1 = next(name for name in "abcdefgh" if bucket_of(name, 2) == 1)
    file = file_of(tmp_path / "audio.parquet", [(of_0, [1.0, 2.0]), (of_1, [1.0, 2.0, 3.0])])
    with pytest.raises(ValueError, match=r"audio.parquet: vectors of 2 and of 3 numbers; expected one length"):
        brought(file, of_0, of_1, shard=shard, shards=2)


def test_vectors_without_numbers_are_an_error(tmp_path: Path) -> None:
    """There is no such encoder."""
    with pytest.raises(ValueError, match="expected at least 1"):
        brought(file_of(tmp_path / "audio.parquet", [("a", [])]), "a")


def test_a_file_of_other_columns_is_an_error(tmp_path: Path) -> None:
    """It says which columns are expected."""
    path = tmp_path / "audio.parquet"
    pl.DataFrame({"track": ["a"], "embedding": [[1.0]]}).write_parquet(path)
    with pytest.raises(ValueError, match="columns track_id"):
        brought(path, "a")


@pytest.mark.parametrize("junk", ["nothing", "text", "half", "page"])
def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, junk: str) -> None:
    """It names the file and the columns that are expected."""
    good = file_of(tmp_path / "audio.parquet", [(f"track {number}", [1.0]) for number in range(1000)])
    whole = good.read_bytes()
    damaged = {"nothing": b"", "text": b"track_id,vector\n", "half": whole[:900], "page": whole[:50] + bytes(500)}
    good.write_bytes(damaged[junk] + whole[550:] if junk == "page" else damaged[junk])
    with pytest.raises(ValueError, match=r"audio.parquet: .*columns track_id \(text\) and vector") as caught:
        brought(good, "track 1")
    assert "\n" not in str(caught.value)


def test_a_shard_without_rows_keeps_the_length(tmp_path: Path) -> None:
    """The vectors of all shards have one type."""
    file = file_of(tmp_path / "audio.parquet", [("elsewhere", [1.0, 2.0, 3.0])])
    assert brought(file, "a").vectors.schema["vector"] == pl.Array(pl.Float32, 3)


def test_a_folder_is_one_file(tmp_path: Path) -> None:
    """Its Parquet files count in order of name, whatever the width of their floats; other files don't."""
    folder = tmp_path / "audio.parquet"
    file_of(folder / "2.parquet", [("a", [0.0, 1.0])], pl.Array(pl.Float64, 2))
    file_of(folder / "1.parquet", [("a", [1.0, 0.0])], pl.List(pl.Float32))
    (folder / "_SUCCESS").touch()
    result = brought(folder, "a")
    assert result.vectors["vector"].to_list() == [[1.0, 0.0]]
    assert result.refused["reason"].to_list() == ["repeated_track"]


def test_files_of_a_folder_with_two_lengths_are_an_error(tmp_path: Path) -> None:
    """The length goes for all of them."""
    folder = tmp_path / "audio.parquet"
    file_of(folder / "1.parquet", [("a", [1.0])], pl.Array(pl.Float32, 1))
    file_of(folder / "2.parquet", [("b", [1.0, 0.0])], pl.Array(pl.Float32, 2))
    with pytest.raises(ValueError, match="vectors of 1 and of 2 numbers"):
        brought(folder, "a")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """It says what it lacks."""
    (tmp_path / "audio.parquet").mkdir()
    with pytest.raises(ValueError, match=r"no .parquet file in the folder"):
        brought(tmp_path / "audio.parquet", "a")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """What one process remembers of a file goes for its version only."""
    assert brought(file_of(tmp_path / "audio.parquet", [("a", [1.0])]), "a").vectors["vector"].to_list() == [[1.0]]
    changed = brought(file_of(tmp_path / "audio.parquet", [("a", [0.0, 1.0])]), "a")
    assert changed.vectors["vector"].to_list() == [[0.0, 1.0]]


@pytest.mark.parametrize("held_bytes", [1, 1 << 27])
def test_every_shard_has_its_own_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: int) -> None:
    """Whether the vectors of one shard fit into memory or those of all, and whichever shard is made first."""
    monkeypatch.setattr(foreign, "HELD_BYTES", held_bytes)
    names = [f"track {number}" for number in range(30)]
    file = file_of(tmp_path / "audio.parquet", [(name, [float(n), 1.0]) for n, name in enumerate(names)])
    results = [brought(file, *names, shard=shard, shards=3).vectors for shard in (2, 0, 1)]
    slopes = {name: first / second for name, (first, second), _ in pl.concat(results).iter_rows()}
    assert slopes == {name: pytest.approx(n, rel=1e-6) for n, name in enumerate(names)}


def test_a_file_that_fits_is_read_once_for_all_shards(tmp_path: Path) -> None:
    """After the first shard it could be gone."""
    file = file_of(tmp_path / "audio.parquet", [("a", [1.0]), ("b", [1.0])])
    for shard in (0, 1):
        brought_in(file, pl.Series("track_id", ["a"]), shard=shard, shards=2, version="1", table=TABLE)
        file.unlink(missing_ok=True)


def track(track_id: str, shard: str) -> dict[str, object]:
    """A row of the catalog."""
    row = dict.fromkeys(TRACKS.schema.column_names()) | {"track_id": track_id, "title": "t", "artist": "a"}
    return row | {"shard": shard, "is_warm": False, "train_appearances": 0, "plays": 0}


def test_assets_take_the_file_shard_by_shard(tmp_path: Path) -> None:
    """Every track of the catalog has its vector, and a row that names no track is one refused row of the asset."""
    lake, keys = Lake(root=str(tmp_path / "lake")), TRACK_SHARDS.get_partition_keys()
    names = [f"track {number}" for number in range(40)]
    for place, key in enumerate(keys):
        rows = [track(name, key) for name in names if bucket_of(name, len(keys)) == place]
        frame = pl.DataFrame(rows, schema=TRACKS.empty().schema)
        lake.write(TRACKS, frame, partition=key, attempt=lake.claim(TRACKS, key))
    file_of(tmp_path / "embeddings" / "playlist.parquet", [(name, [1.0, 0.0]) for name in [*names, "stranger"]])
    modules = {stage: import_module(f"assets.{stage}.defs") for stage in STAGES}  # each needs those before it
    result = dg.materialize(
        [modules["embeddings"].playlist_vectors],
        tags={"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]},
        resources={"lake": lake, "raw": RawFolder(root=str(tmp_path)), "profile": EMBEDDED},
    )
    assert result.success
    assert lake.read(PLAYLIST, keys)["vector"].to_list() == [[1.0, 0.0]] * 40
    records = [lake.record(PLAYLIST, key) for key in keys]
    assert [record.origin.refused for record in records if record and record.origin.refused] == [{"no_such_track": 1}]
