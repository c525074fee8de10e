"""3MToken's index from made-up tokens: what is stored, what comes back, and what is refused."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.index.level_matching import level_matcher_of
from assets.index.m3_columns import m3_columns
from assets.index.tables import M3_INDEX
from assets.making import MAKINGS
from assets.tokens.codebooks import codebook_hash
from assets.tokens.tables import M3_CODEBOOKS, M3_COLLISIONS, M3_TOKENS
from dagster_project.stages import STAGES
from resources.lake import WHOLE, Lake
from resources.m3_settings import M3, M3_MODALITIES, M3Tokens
from resources.profile import Profile
from resources.raw import RawFolder
from resources.tables import Table
from resources.track_index import CodebookMismatchError, open_index, write_index

MODULES = {stage: import_module(f"assets.{stage}.defs") for stage in STAGES}  # each needs those before it
SIZES = {"ac": (2, 4), "tc": (3,)}
VECTOR = {"vector": pl.Array(pl.Float32, 2)}
SETTINGS = M3(sizes=[4, 2], sizes_of={"tc": [3]})


def tokens(**modalities: Sequence[Sequence[int]]) -> pl.DataFrame:
    """Tokens of tracks a, b, c, ... of codebook `new`."""
    columns = {name: pl.Series(lists, dtype=pl.List(pl.Int32)) for name, lists in modalities.items()}
    ids = list("abcdef")[: len(next(iter(columns.values())))]
    return pl.DataFrame({"track_id": ids, **columns, "codebook_hash": "new"})


def collisions(version: str = "new", **numbers: int) -> pl.DataFrame:
    """Rows of `tokens/m3_collisions`, of tokens of a codebook."""
    rows = [(track_id, number, max(2, len(numbers)), version) for track_id, number in numbers.items()]
    return pl.DataFrame(rows, schema=M3_COLLISIONS.empty().schema, orient="row")


def test_collisions_of_other_codebooks_are_refused() -> None:
    """Their numbers would tell apart what is not equal any more."""
    with pytest.raises(ValueError, match="materialize tokens/m3_collisions"):
        m3_columns(tokens(ac=[[1, 3]], tc=[[2]]), collisions("old", a=0, b=1), sizes=SIZES, disambiguators=2)


def test_each_code_has_a_column_named_as_its_token() -> None:
    """Lists become ac1, ac2 and tc1, in the order of the tokens, each with the number of its codes."""
    columns = m3_columns(tokens(ac=[[1, 3]], tc=[[2]]), collisions(), sizes=SIZES, disambiguators=0)
    assert columns.frame.rows(named=True) == [{"track_id": "a", "ac1": 1, "ac2": 3, "tc1": 2, "codebook_hash": "new"}]
    assert list(columns.codes_per_column.items()) == [("ac1", 2), ("ac2", 4), ("tc1", 3)]


def test_disambiguating_code_is_the_last_column() -> None:
    """With disambiguators, tracks bear the number among their equals, and 0 where they have none."""
    rows = tokens(ac=[[1, 3], [0, 0], [1, 3]], tc=[[2]] * 3)
    columns = m3_columns(rows, collisions(c=1, a=0), sizes=SIZES, disambiguators=5)
    assert columns.frame["number"].to_list() == [0, 0, 1]
    assert list(columns.codes_per_column.items())[-1] == ("number", 5)


def test_other_number_of_levels_is_refused() -> None:
    """Tokens of one level where the profile has two are an error that names track, modality and asset."""
    with pytest.raises(ValueError, match=r"track b: codes \[1\] of ac, wanted 2 levels; materialize tokens/m3_tokens"):
        m3_columns(tokens(ac=[[1, 3], [1]], tc=[[2]] * 2), collisions(), sizes=SIZES, disambiguators=0)


def test_stored_index_gives_its_matcher(tmp_path: Path) -> None:
    """A matcher built from LanceDB has the table's ids, levels by modality, and numbers for exact look-ups."""
    rows = tokens(ac=[[1, 3], [1, 0], [1, 3]], tc=[[2], [3], [2]])
    frame, codes = m3_columns(rows, collisions(a=0, c=1), sizes=SIZES, disambiguators=2)
    write_index(tmp_path, frame.reverse(), codebook_hash="new", codes_per_modality=codes, name="m3_index")
    built = level_matcher_of(open_index(tmp_path, codebook_hash="new", name="m3_index"), weights=(10, 1))
    assert built.track_ids.to_pylist() == ["a", "b", "c"]
    assert built.sizes == ((2, 4), (3,))
    assert built.rank([1, 0, 2], top=3).scores.tolist() == [20, 11, 11]  # b has both levels of ac; tc is missing
    assert built.rank([1, 0, 2], top=3).rows.tolist() == [1, 0, 2]
    assert built.exact([1, 3, 2], number=1).tolist() == [2]


def test_older_codebook_is_refused(tmp_path: Path) -> None:
    """Opening an index of an older codebook, and writing older tokens beside newer, name the asset to run."""
    frame, codes = m3_columns(tokens(ac=[[1, 3]], tc=[[2]]), collisions(), sizes=SIZES, disambiguators=0)
    with pytest.raises(CodebookMismatchError, match=r"index/m3_index: rows of codebook \['new'\], wanted newer"):
        write_index(tmp_path, frame, codebook_hash="newer", codes_per_modality=codes, name="m3_index")
    write_index(tmp_path, frame, codebook_hash="new", codes_per_modality=codes, name="m3_index")
    with pytest.raises(CodebookMismatchError, match="codebook new, wanted newer; materialize index/m3_index again"):
        open_index(tmp_path, codebook_hash="newer", name="m3_index")


def keys(table: Table) -> list[str]:
    """The partitions that a table is cut into."""
    partitions = MAKINGS[table.path].partitions
    return partitions.get_partition_keys() if partitions else [WHOLE]


class Catalog:
    """A lake with made-up codebooks and tokens, and the index over it."""

    def __init__(self, root: Path) -> None:
        self.lake = Lake(root=str(root))

    def fit(self, version: str) -> str:
        """Writes codebooks of one vector; the hash over all."""
        rows = {"scheme": "rqvae", "level": 1, "code": 0, "tracks": 1, "vector": [1.0, 0.0]}
        for modality in keys(M3_CODEBOOKS):
            row = {**rows, "modality": modality, "codebook_hash": f"{modality} {version}"}
            self._write(M3_CODEBOOKS, modality, pl.DataFrame([row], schema=M3_CODEBOOKS.empty().schema | VECTOR))
        return codebook_hash(self.lake.read(M3_CODEBOOKS, columns=["modality", "codebook_hash"]))

    def tokenize(self, version: str) -> None:
        """Writes twelve tracks a shard: the first two are the same, and a fifth of the modalities is missing."""
        random = np.random.default_rng(0)
        for shard in keys(M3_TOKENS):
            lists = {}
            for modality in M3_MODALITIES:
                sizes = SETTINGS.level_sizes(modality)
                codes_NL = np.where(random.random((12, 1)) < 0.2, sizes, random.integers(0, sizes, (12, len(sizes))))
                codes_NL[1] = codes_NL[0]
                lists[modality] = codes_NL.tolist()
            ids = [f"{shard}-{row:02d}" for row in range(12)]
            frame = pl.DataFrame({"track_id": ids, **lists, "codebook_hash": version}, schema=M3_TOKENS.empty().schema)
            self._write(M3_TOKENS, shard, frame)
        self._write(M3_COLLISIONS, WHOLE, collisions(version, **{f"{shard}-01": 1 for shard in keys(M3_TOKENS)}))

    def index(self) -> dg.ExecuteInProcessResult:
        """Materializes the index and its check."""
        resources = {
            "lake": self.lake,
            "raw": RawFolder(root=self.lake.root),
            "profile": Profile(m3=SETTINGS, m3_tokens=M3Tokens(disambiguators=3)),
        }
        stage = MODULES["index"]
        return dg.materialize(
            [stage.m3_index, stage.m3_tracks_find_themselves], resources=resources, raise_on_error=False
        )

    def _write(self, table: Table, partition: str, frame: pl.DataFrame) -> None:
        self.lake.write(table, frame, partition=partition, attempt=self.lake.claim(table, partition))


def test_asset_writes_an_index_that_finds_its_tracks(tmp_path: Path) -> None:
    """The asset's index opens with the codebooks' hash, and its check passes: tracks find themselves, first of all."""
    catalog = Catalog(tmp_path)
    present = catalog.fit("new")
    catalog.tokenize(present)
    made = catalog.index()
    assert made.success
    check = next(c for c in made.get_asset_check_evaluations() if c.check_name == "m3_tracks_find_themselves")
    tracks = 12 * len(keys(M3_TOKENS))
    assert check.passed
    assert {name: value.value for name, value in check.metadata.items()} == {
        "sampled tracks": tracks,
        "found": tracks,
        "first": tracks,
    }
    opened = open_index(catalog.lake.file(M3_INDEX).parent, codebook_hash=present, name="m3_index")
    assert level_matcher_of(opened).sizes == tuple(SETTINGS.level_sizes(modality) for modality in M3_MODALITIES)


def test_asset_refuses_tokens_of_older_codebooks(tmp_path: Path) -> None:
    """Codebooks refitted after the tokens: nothing is indexed, and what was stays of the older ones."""
    catalog = Catalog(tmp_path)
    catalog.tokenize(catalog.fit("old"))
    assert catalog.index().success
    newer = catalog.fit("new")
    failed = catalog.index()
    assert not failed.success
    assert "CodebookMismatchError" in str(failed.failure_data_for_node("index__m3_index"))
    with pytest.raises(CodebookMismatchError, match="materialize index/m3_index again"):
        open_index(catalog.lake.file(M3_INDEX).parent, codebook_hash=newer, name="m3_index")
