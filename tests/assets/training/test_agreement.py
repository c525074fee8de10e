"""What a training is made of: shards, tokenizer and codebooks of one making."""

import polars as pl
import pytest

from assets.shards.writing import Kind, Manifest
from assets.tokens.codebooks import codebook_hash
from assets.tokens.vocabulary import Vocabulary
from assets.training.agreement import agreed_hash

BOOKS = {
    "audio": pl.DataFrame({"modality": ["audio"] * 2, "codebook_hash": ["aa"] * 2, "vector": [[1.0, 2.0], [3.0, 4.0]]}),
    "lyrics": pl.DataFrame({"modality": ["lyrics"], "codebook_hash": ["bb"], "vector": [[1.0]]}),
}
PRESENT = codebook_hash(pl.DataFrame({"modality": ["lyrics", "audio"], "codebook_hash": ["bb", "aa"]}))


def manifest(kind: Kind, *, words: str = "c0de", codebooks: str = PRESENT) -> Manifest:
    """Of shards without rows."""
    vocabulary = Vocabulary(("audio", "lyrics"), (2, 1))
    return Manifest(kind, 16, 7, -100, 0, words, 10, 2, vocabulary, codebooks, splits={}, files=[])


def test_shards_of_the_present_tokenizer_and_codebooks_are_trained_on() -> None:
    """The hash is that of the codebooks, in whatever order."""
    manifests = [manifest("conversations"), manifest("continuations")]
    assert agreed_hash(manifests, "c0de", BOOKS) == PRESENT


@pytest.mark.parametrize("change", [{"words": "older"}, {"codebooks": "older"}])
def test_older_shards_are_refused(change: dict[str, str]) -> None:
    """Before any step: their ids stand for other words, or for other tracks than the centroids do."""
    manifests = [manifest("conversations"), manifest("continuations", **change)]
    with pytest.raises(ValueError, match=r"shards/continuations are of .*older.*materialize tokens and shards again"):
        agreed_hash(manifests, "c0de", BOOKS)
