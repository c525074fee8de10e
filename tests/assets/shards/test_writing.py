"""Shards on disk: other tools open them, the manifest guards them, rows come back at random."""

import hashlib
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from assets.conversations.tables import TURNS
from assets.shards import writing
from assets.shards.decoding import decode_conversations, split_rows
from assets.shards.packing import RowBlock, fill_rows, pack
from assets.shards.sequences import Built, Split, conversation_sequences
from assets.shards.tables import CONVERSATIONS
from assets.shards.tokenizer import ExpandedTokenizer
from assets.shards.writing import Manifest, ShardError, check_shards, open_rows, read_manifest, read_rows, write_shards

CONTEXT = 64


def conversations(split: Split, count: int, tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> Built:
    """Conversations of one or two turns."""
    rows = [
        (f"{number}/0", turn, number, f"calm {number}", f"t{number % 6}", f"track {turn}", "audio", False, split, False)
        for number in range(count)
        for turn in range(1 + number % 2)
    ]
    turns = TURNS.checked(pl.DataFrame(rows, schema=TURNS.empty().schema, orient="row"))
    return conversation_sequences(turns, tokens, tokenizer=tokenizer, context_length=CONTEXT, split=split)


@pytest.fixture(scope="module")
def train(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> Built:
    """Two hundred conversations."""
    return conversations("train", 200, tokenizer, tokens)


@pytest.fixture(scope="module")
def test(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> Built:
    """Five conversations."""
    return conversations("test", 5, tokenizer, tokens)


def write(folder: Path, train: Built, test: Built, tokenizer: ExpandedTokenizer) -> Manifest:
    """Shards of conversations in a folder."""
    return write_shards(
        folder,
        kind="conversations",
        built={"train": train, "test": test},
        tokenizer=tokenizer,
        codebook_hash="c0",
        context_length=CONTEXT,
        seed=5,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, train: Built, test: Built, tokenizer: ExpandedTokenizer) -> Path:
    """Shards in three files with several row groups each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "ROWS_PER_FILE", 60)
        patch.setattr(writing, "ROWS_PER_GROUP", 16)
        patch.setattr(writing, "ROWS_AT_ONCE", 32)
        path = tmp_path_factory.mktemp("lake") / "shards"
        write(path, train, test, tokenizer)
    return path


def whole_block(built: Built, tokenizer: ExpandedTokenizer) -> RowBlock:
    """All rows, as packed in memory."""
    packing = pack(built.sequences.lengths, context_length=CONTEXT, seed=5)
    return fill_rows(built.sequences, packing, slice(None), context_length=CONTEXT, pad_id=tokenizer.pad_id)


def test_datasets_opens_the_folder(
    folder: Path, train: Built, test: Built, tokenizer: ExpandedTokenizer, tmp_path: Path
) -> None:
    """`load_dataset` gives train and test with the rows in order, by folder and by Parquet files."""
    opened = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    files = {split: str(folder / f"{split}-*.parquet") for split in ("train", "test")}
    by_files = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "files"))
    for split, built in (("train", train), ("test", test)):
        for name, array in whole_block(built, tokenizer)._asdict().items():
            assert np.array_equal(np.array(opened[split][name]), array)
            assert np.array_equal(np.array(by_files[split][name]), array)
    assert opened["train"].column_names == list(CONVERSATIONS.schema.columns())


def test_split_without_rows(train: Built, tokenizer: ExpandedTokenizer, tokens: pl.DataFrame, tmp_path: Path) -> None:
    """A split without rows has no file, since datasets can't open one; the other opens as ever."""
    manifest = write(tmp_path / "shards", train, conversations("test", 0, tokenizer, tokens), tokenizer)
    assert manifest.splits["test"].rows == 0
    opened = datasets.load_dataset(str(tmp_path / "shards"), cache_dir=str(tmp_path / "cache"))
    assert list(opened) == ["train"]
    assert len(open_rows(tmp_path / "shards", "test", cache=tmp_path / "rows")) == 0


def test_conversations_come_back_from_disk(folder: Path, train: Built, tokenizer: ExpandedTokenizer) -> None:
    """Decoding the files gives as many messages of each text as the conversations had."""
    decoded: Counter[str] = Counter()
    for path in sorted(folder.glob("*.parquet")):
        for block in read_rows(path):
            decoded.update(message.content for piece in decode_conversations(block, tokenizer) for message in piece)
    assert (decoded["track 0"], decoded["track 1"], decoded["calm 3"], decoded["calm 8"]) == (205, 102, 4, 1)


def test_manifest(folder: Path, train: Built, tokenizer: ExpandedTokenizer) -> None:
    """The manifest states files, rows, tokens, vocabulary, hashes and how full the rows are."""
    manifest = check_shards(folder)
    counts, rows = manifest.splits["train"], pq.read_table(sorted(folder.glob("train-*.parquet"))).num_rows
    assert counts.rows == rows == sum(file.rows for file in manifest.files if file.split == "train")
    assert counts.fill == counts.tokens / (rows * CONTEXT)
    assert counts.sequences == counts.sources["conversations"] == 200
    assert counts.labelled_tokens == train.sequences.is_label.sum()
    assert [file.name for file in manifest.files] == [f"train-0000{n}.parquet" for n in range(3)] + [
        "test-00000.parquet"
    ]
    assert manifest.vocabulary_size == tokenizer.size == manifest.first_music_id + manifest.vocabulary.size
    assert (manifest.vocabulary, manifest.codebook_hash) == (tokenizer.vocabulary, "c0")


def test_same_rows_same_bytes(tmp_path: Path, train: Built, test: Built, tokenizer: ExpandedTokenizer) -> None:
    """Writing twice gives the same bytes in every file."""
    hashes = []
    for name in ("one", "two"):
        write(tmp_path / name, train, test, tokenizer)
        files = sorted((tmp_path / name).iterdir())
        hashes.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
    assert hashes[0] == hashes[1]
    assert [name for name, _ in hashes[0]] == [
        *("README.md", "manifest.json", "test-00000.parquet", "train-00000.parquet")
    ]


def test_random_rows(folder: Path, train: Built, tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """Rows by number, one or many, repeated or not, are the rows that were packed."""
    rows = open_rows(folder, "train", cache=tmp_path)
    block = whole_block(train, tokenizer)
    wanted = np.random.default_rng(0).integers(0, len(rows), 50)
    for name, array in rows.take(wanted)._asdict().items():
        assert np.array_equal(array, getattr(block, name)[wanted])
        assert np.array_equal(getattr(rows[3], name), getattr(block, name)[3])


def test_rows_cached_once(folder: Path, tmp_path: Path) -> None:
    """The copy is made at the first call and has no half-written state under its name."""
    open_rows(folder, "train", cache=tmp_path)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    open_rows(folder, "train", cache=tmp_path)
    assert [path] == list(tmp_path.iterdir())
    assert path.suffix == ".npy"
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "train-00000.parquet").unlink(), r"missing \['train-00000.parquet'\]"),
        (lambda folder: (folder / "train-00009.parquet").write_bytes(b""), r"unknown \['train-00009.parquet'\]"),
        (lambda folder: (folder / "test-00000.parquet").write_bytes(b"x"), "has changed since it was written"),
        (lambda folder: (folder / "manifest.json").unlink(), "its writing never ended"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{}"), "missing required field"),
    ],
)
def test_changed_folder_is_refused(
    tmp_path: Path, train: Built, test: Built, tokenizer: ExpandedTokenizer, change: object, message: str
) -> None:
    """Files missing, added or changed, and an absent or foreign manifest, are errors before a row is read."""
    write(tmp_path / "shards", train, test, tokenizer)
    change(tmp_path / "shards")  # type: ignore[operator]
    with pytest.raises(ShardError, match=message):
        open_rows(tmp_path / "shards", "train", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_folder_with_files_is_refused(tmp_path: Path, train: Built, test: Built, tokenizer: ExpandedTokenizer) -> None:
    """Shards are never written among other files."""
    (tmp_path / "other").touch()
    with pytest.raises(FileExistsError, match="wanted a new folder"):
        write(tmp_path, train, test, tokenizer)
    with pytest.raises(ShardError, match="no manifest"):
        read_manifest(tmp_path)


def test_packed_rows_keep_attention_apart(train: Built, tokenizer: ExpandedTokenizer) -> None:
    """A transformers model gives each sequence of a packed row the logits that it has alone."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.size, **sizes)).eval()
    block = RowBlock(*(array[:30] for array in whole_block(train, tokenizer)))
    with torch.no_grad():
        inputs = {name: torch.from_numpy(array).long() for name, array in block._asdict().items() if name != "labels"}
        packed = model(**inputs, use_cache=False).logits.flatten(0, 1)
        alone = [
            model(input_ids=torch.from_numpy(ids).long()[None], use_cache=False).logits[0]
            for ids, _ in split_rows(block, pad_id=tokenizer.pad_id)
        ]
    is_token = inputs["input_ids"].flatten() != tokenizer.pad_id
    assert len(alone) > 30
    torch.testing.assert_close(packed[is_token], torch.cat(alone))
