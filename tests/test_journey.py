"""The whole graph, from published files to the token index, as `make run` makes it."""

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import dagster as dg
import polars as pl
import pytest

from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.conversations.tables import TURNS
from assets.evaluation.tables import TALKPLAY
from assets.index.tables import M3_INDEX, TOKEN_INDEX
from assets.making import MAKINGS
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS, PLAYS
from assets.tokens.tables import CODEBOOKS, M3_ENCODERS, M3_TOKENS, TALKPLAY_TOKENS
from assets.training.tables import TALKPLAY_MODEL
from dagster_project import definitions
from resources.lake import Lake
from resources.m3_settings import M3_MODALITIES
from resources.tables import refused_table
from resources.track_index import CodebookMismatchError, open_index

assert definitions  # fills MAKINGS


def versions(lake: Path) -> dict[str, str]:
    """The content version of every table of a lake."""
    return {path: Lake(root=str(lake)).version(table_of(path)) for path in MAKINGS}


def table_of(path: str):
    """The table of a path."""
    return next(table for table in MAKINGS[path].tables if table.path == path)


def written(lake: Path) -> dict[Path, int]:
    """When each file of a lake was written, Dagster's history left out."""
    files = [path for path in lake.rglob("*") if path.is_file() and ".dagster" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}


def printed(filled: Path) -> str:
    """What the run printed."""
    return (filled.parent / "printed.txt").read_text()


def test_every_table_is_made(filled: Path) -> None:
    """A run leaves no table without a committed partition, and prints each with its rows."""
    lake = Lake(root=str(filled))
    for path in MAKINGS:
        assert lake.partitions(table_of(path)), path
        assert path in printed(filled)


def test_a_second_run_writes_nothing_and_says_so(journey: ModuleType, world: Path, filled: Path) -> None:
    """Running again leaves every file as it was."""
    files = written(filled)
    before = versions(filled)
    assert "nothing was written" in journey.run(world, filled)
    assert versions(filled) == before
    assert written(filled) == files


def test_spoilt_input_ends_in_refused_rows(filled: Path) -> None:
    """Broken log lines, broken facts and undecodable recordings are kept with their reasons, and nothing is red."""
    lake = Lake(root=str(filled))
    sources = set(lake.read(refused_table("sources"))["reason"])
    assert {"wrong_columns", "bad_timestamp", "outside_span", "broken_json"} <= sources
    content = set(lake.read(refused_table("content"))["reason"])
    assert {"undecodable", "empty_file"} <= content


def test_every_track_has_tokens_of_the_present_codebooks(filled: Path) -> None:
    """Each catalog track has five codes, below K or reserved, made from one version of the codebooks."""
    lake = Lake(root=str(filled))
    tokens = lake.read(TALKPLAY_TOKENS)
    assert tokens["track_id"].sort().to_list() == lake.read(TRACKS)["track_id"].sort().to_list()
    assert tokens["codebook_hash"].n_unique() == 1
    codes = tokens.select("playlist", "semantic", "metadata", "lyrics", "audio")
    assert codes.max_horizontal().max() <= 12
    assert set(lake.read(CODEBOOKS, columns=["modality"])["modality"]) == set(codes.columns)


def test_conversations_recommend_tracks_of_their_playlist(filled: Path) -> None:
    """Every recommended track is in the playlist, and no conversation names one twice."""
    lake = Lake(root=str(filled))
    turns = lake.read(TURNS)
    pairs = lake.read(PLAYLIST_TRACKS).select("playlist_id", track_id="track_uri").unique()
    assert turns.height > 100
    assert turns.join(pairs, on=["playlist_id", "track_id"], how="anti").is_empty()
    assert turns.select("conversation_id", "track_id").is_unique().all()


def test_shards_open_with_datasets_and_decode_to_the_conversations(filled: Path, tmp_path: Path) -> None:
    """`load_dataset` and `AutoTokenizer` open what was written, and a row decodes to queries, tokens and responses."""
    from datasets import load_dataset
    from transformers import AutoTokenizer

    folder = filled / "shards/conversations"
    files = {"train": [str(folder / f"{split}-*.parquet") for split in ("train", "validation")]}
    rows = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))["train"]
    tokenizer = AutoTokenizer.from_pretrained(str(filled / "shards/tokenizer"), local_files_only=True)
    assert len(rows[0]["input_ids"]) == len(rows[0]["labels"]) == 512

    text = "".join(tokenizer.decode(row["input_ids"]) for row in rows)
    lake = Lake(root=str(filled))
    tokens = {row["track_id"]: row for row in lake.read(TALKPLAY_TOKENS).iter_rows(named=True)}
    turns = lake.read(TURNS).filter(pl.col("split") == "train")
    for turn in turns.sample(40, seed=1).iter_rows(named=True):
        codes = tokens[turn["track_id"]]
        names = ("playlist", "semantic", "metadata", "lyrics", "audio")
        music = "".join(f"<|{name}-{codes[name]}|>" for name in names)
        said = f"{turn['query']}<|end_of_turn|><|music|><start_of_music>{music}<end_of_music>"
        assert f"{said}<|end_of_turn|><|assistant|>{turn['response']}" in text


def test_the_index_finds_each_track_by_its_tokens(filled: Path) -> None:
    """Exact look-up gives the track itself, and a ranking of the whole catalog begins with its equals."""
    from assets.index.matching import matcher_of
    from assets.tokens.codebooks import codebook_hash

    lake = Lake(root=str(filled))
    present = codebook_hash(lake.read(CODEBOOKS, columns=["modality", "codebook_hash"]))
    index = open_index(lake.file(TOKEN_INDEX).parent, codebook_hash=present)
    index.verify()
    matcher, stored = matcher_of(index), index.codes()
    for row in range(0, len(stored.codes), 17):
        assert row in matcher.exact(stored.codes[row])
        ranking = matcher.rank(stored.codes[row], top=len(stored.codes))
        assert sorted(ranking.rows) == list(range(len(stored.codes)))
    with pytest.raises(CodebookMismatchError):
        open_index(lake.file(TOKEN_INDEX).parent, codebook_hash="0" * 64)


def test_dagster_knows_every_partition_by_its_version(filled: Path) -> None:
    """Dagster's history names, for each committed partition, the content version that the lake has."""
    lake = Lake(root=str(filled))
    with dg.DagsterInstance.from_config(str(filled / ".dagster")) as instance:
        for path, making in MAKINGS.items():
            table = table_of(path)
            for partition in lake.partitions(table):
                key = partition if making.partitions else None
                event = instance.get_latest_data_version_record(dg.AssetKey(path.split("/")), partition_key=key)
                assert event
                tags = event.event_log_entry.asset_materialization.tags
                assert tags["dagster/data_version"] == lake.version(table, partition), (path, partition)


def test_a_new_and_a_truncated_slice_touch_only_what_depends_on_them(
    journey: ModuleType, world: Path, filled: Path, tmp_path: Path
) -> None:
    """A truncated slice is refused whole while the rest stays green, and changes no table but its own."""
    raw, lake = tmp_path / "raw", tmp_path / "lake"
    shutil.copytree(world, raw)
    shutil.copytree(filled, lake)
    old = Lake(root=str(filled))
    content = (raw / "mpd/mpd.slice.30-59.json").read_bytes()
    (raw / "mpd/mpd.slice.90-119.json").write_bytes(content[: len(content) // 2])
    output = journey.run(raw, lake)
    new = Lake(root=str(lake))
    refused = new.read(refused_table("sources")).filter(pl.col("source") == "mpd.slice.90-119")
    assert refused["reason"].to_list() == ["truncated_json"]
    assert "1 of 4 made" in output
    assert new.read(PLAYLISTS).equals(old.read(PLAYLISTS))
    assert new.version(TRACKS) == old.version(TRACKS)
    assert new.version(TALKPLAY_TOKENS) == old.version(TALKPLAY_TOKENS)


def test_one_slice_again_changes_nothing_else(journey: ModuleType, world: Path, filled: Path, tmp_path: Path) -> None:
    """Making a slice again from the same file makes its own partitions, finds them equal, and stops there."""
    lake = tmp_path / "lake"
    shutil.copytree(filled, lake)
    output = journey.run(world, lake, "--slice", "mpd.slice.30-59")
    made = [line.split()[0].rstrip(",") for line in output.splitlines() if line.startswith("  ") and " made " in line]
    assert made == ["sources/playlists", "conversations/turns"]
    assert versions(lake) == versions(filled)


def test_damaged_files_are_mended(journey: ModuleType, world: Path, filled: Path, tmp_path: Path) -> None:
    """Lost and garbled parts are made again as they were."""
    lake = tmp_path / "lake"
    shutil.copytree(filled, lake)
    garbled = lake / "content/tags/shard_000.parquet"
    garbled.write_bytes(garbled.read_bytes()[:-9] + b"?" * 9)
    (lake / "content/captions/shard_001.parquet").unlink()
    shutil.rmtree(lake / "shards/conversations")
    journey.run(world, lake, "--verify")
    assert versions(lake) == versions(filled)
    assert garbled.read_bytes() == (filled / "content/tags/shard_000.parquet").read_bytes()
    assert (lake / "shards/conversations/manifest.json").exists()


def test_a_removed_slice_other_counts_and_codes_recut_the_lake(
    journey: ModuleType, world: Path, filled: Path, tmp_path: Path
) -> None:
    """A slice whose file is gone leaves the corpus, other counts and codes cut it anew: nothing twice, nothing old."""
    raw, lake = tmp_path / "raw", tmp_path / "lake"
    shutil.copytree(world, raw)
    shutil.copytree(filled, lake)
    (raw / "mpd/mpd.slice.60-89.json").unlink()
    changed = {
        "MUSIC_PARTITIONS__TRACK_SHARDS": "1",
        "MUSIC_PARTITIONS__LISTENER_BUCKETS": "3",
        "MUSIC_TOKENS__KMEANS_K": "6",
    }
    journey.run(raw, lake, **changed)
    old, new = Lake(root=str(filled)), Lake(root=str(lake))
    assert new.read(PLAYLIST_SPLITS)["playlist_id"].max() == 59
    tracks = new.read(TRACKS, "shard_000")["track_id"]
    assert tracks.is_unique().all()
    assert tracks.len() < old.read(TRACKS).height
    assert set(new.read(TALKPLAY_TOKENS, "shard_000")["track_id"]) == set(tracks)
    assert new.read(PLAYS, [f"listeners_{number:03d}" for number in range(3)]).height == old.read(PLAYS).height
    assert new.read(TALKPLAY_TOKENS, "shard_000").select("playlist", "audio").max_horizontal().max() <= 6
    manifest = json.loads((lake / "shards/conversations/manifest.json").read_text())
    assert manifest["vocabulary"]["codes"] == [6] * 5
    assert "nothing was written" in journey.run(raw, lake, **changed)


def test_refitting_one_modality_reruns_what_depends_on_it_and_no_more(
    journey: ModuleType, world: Path, filled: Path, tmp_path: Path
) -> None:
    """Other sizes of TC make its quantizers again, then tokens, index and evaluation; no older code is left."""
    lake = tmp_path / "lake"
    shutil.copytree(filled, lake)
    output = journey.run(world, lake, MUSIC_M3__SIZES_OF='{"tc": [4, 4]}')
    made = {
        line.split()[0].rstrip(","): int(line.split(" made ")[0].split()[-3])
        for line in output.splitlines()
        if line.startswith("  ") and " made " in line
    }
    fits = {"tokens/m3_codebooks": 1, "tokens/vqvae_codebooks": 1, "tokens/m3_kmeans_codebooks": 1}
    whole = {"tokens/m3_collisions": 1, "index/m3_index.lance": 1, "evaluation/cbr": 1}
    assert made == {**fits, "tokens/m3_tokens": 2, "tokens/m3_baselines": 2, **whole}

    old, new = Lake(root=str(filled)), Lake(root=str(lake))
    for modality in M3_MODALITIES:
        is_same = new.version(M3_ENCODERS, modality) == old.version(M3_ENCODERS, modality)
        assert is_same == (modality != "tc")
    others = pl.exclude("tc", "codebook_hash")
    assert new.read(M3_TOKENS).select(others).equals(old.read(M3_TOKENS).select(others))
    assert set(new.read(M3_TOKENS)["tc"].list.len()) == {2}
    assert new.version(TALKPLAY_TOKENS) == old.version(TALKPLAY_TOKENS)
    before = old.read(M3_TOKENS)["codebook_hash"].first()
    with pytest.raises(CodebookMismatchError, match="materialize index/m3_index"):
        open_index(new.file(M3_INDEX).parent, codebook_hash=before, name="m3_index")


def test_another_variant_trains_alone(journey: ModuleType, world: Path, filled: Path, tmp_path: Path) -> None:
    """A variant that is added is trained beside the others, which stay; both are judged, and decode to real tracks."""
    lake = tmp_path / "lake"
    shutil.copytree(filled, lake)
    output = journey.run(world, lake, MUSIC_VARIANTS__TALKPLAY="[full,without_lyrics]")
    made = [line.split()[0].rstrip(",") for line in output.splitlines() if " made " in line and line.startswith("  ")]
    assert made == ["training/talkplay_model", "evaluation/talkplay"]
    old, new = Lake(root=str(filled)), Lake(root=str(lake))
    assert new.version(TALKPLAY_MODEL, "full") == old.version(TALKPLAY_MODEL, "full")
    assert new.record(TALKPLAY_MODEL, "without_lyrics").rows == old.record(TALKPLAY_MODEL, "full").rows

    rows = new.read(TALKPLAY)
    assert set(rows["protocol"]) == {"turns", "queries"}
    exact = rows.filter(pl.col("metric") == "exact", pl.col("part") == "all")
    assert set(exact["system"]) == {"talkplay_constrained", "talkplay_sampled", "talkplay_without_lyrics"}
    assert (exact.filter(pl.col("system") != "talkplay_sampled")["value"] == 1).all()


def test_other_decoding_trains_nothing_again(journey: ModuleType, world: Path, filled: Path, tmp_path: Path) -> None:
    """A new default temperature is written into the model's folder; its weights come from the kept training."""
    lake = tmp_path / "lake"
    shutil.copytree(filled, lake)
    journey.run(world, lake, "--stages", "training", MUSIC_RECOMMENDING__TEMPERATURE="0.7")
    old, new = (Lake(root=str(root)).file(TALKPLAY_MODEL, "full") for root in (filled, lake))
    assert (new / "model.safetensors").read_bytes() == (old / "model.safetensors").read_bytes()
    assert json.loads((new / "generation_config.json").read_text())["temperature"] == 0.7
    checkpoints = [path for path in (lake / ".kept/training/full").rglob("*") if path.suffix == ".safetensors"]
    assert all(path.stat().st_mtime_ns == (filled / path.relative_to(lake)).stat().st_mtime_ns for path in checkpoints)
    assert checkpoints


def test_no_published_data_gives_empty_tables(journey: ModuleType, tmp_path: Path) -> None:
    """An empty folder of published data runs through the whole graph and ends in empty tables."""
    (tmp_path / "raw").mkdir()
    cut_in_one = {"MUSIC_PARTITIONS__TRACK_SHARDS": "1", "MUSIC_PARTITIONS__LISTENER_BUCKETS": "1"}
    output = journey.run(tmp_path / "raw", tmp_path / "lake", **cut_in_one)
    assert "partitions made" in output
    assert Lake(root=str(tmp_path / "lake")).read(TALKPLAY_TOKENS).is_empty()


def test_the_summary_counts_what_the_lake_holds(filled: Path) -> None:
    """The printed row counts are those of the commit records."""
    lake = Lake(root=str(filled))
    lines = {
        line.split()[0]: line.split() for line in printed(filled).splitlines() if line[:1].isalpha() and "/" in line
    }
    for path in ("sources/plays", "catalog/tracks", "conversations/turns"):
        assert int(lines[path][1].replace(",", "")) == lake.read(table_of(path)).height


def test_manifests_name_what_shards_were_made_of(filled: Path) -> None:
    """A shard's manifest carries the codebooks' hash that its tokens carry."""
    lake = Lake(root=str(filled))
    manifest = json.loads((filled / "shards/conversations/manifest.json").read_text())
    assert manifest["codebook_hash"] == lake.read(TALKPLAY_TOKENS)["codebook_hash"].first()
    assert manifest["context_length"] == 512


def test_the_look_ups_of_the_readme_run(journey: ModuleType, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python example finds each track by its own codes in the lake it names; the model's folder opens."""
    look_ups, opening = re.findall(
        r"```python\n(.*?)```", (journey.PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    here = filled.parent / "project"
    (here / "data/embedded").mkdir(parents=True)
    (here / "data/embedded/lake").symlink_to(filled)
    monkeypatch.chdir(here)
    names: dict[str, object] = {}
    exec(look_ups, names)
    exec(opening, names)
    matcher, codes = names["matcher"], names["codes"]
    ranking = matcher.rank_many(codes, top=1)
    assert (ranking.scores[:, 0] > 0).all()
    assert names["model"].config.vocab_size == len(names["tokenizer"])
