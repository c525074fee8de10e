"""A small tokenizer, and six tracks with three codes and a missing one in each modality."""

import polars as pl
import pytest

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.tables import TALKPLAY_TOKENS
from assets.tokens.vocabulary import Vocabulary
from resources.talkplay_settings import MODALITIES

TEXTS = [
    "a calm track for the evening",
    "something louder for the evening, please",
    "here is a calm track with a piano",
]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Three codes in each modality, and a missing one."""
    return Vocabulary(MODALITIES, (3,) * 5)


@pytest.fixture(scope="session")
def tokenizer(vocabulary: Vocabulary) -> ExpandedTokenizer:
    """A byte-level BPE of 300 tokens and the music tokens."""
    return expand_tokenizer(train_tokenizer(TEXTS, vocabulary_size=300), vocabulary)


@pytest.fixture(scope="session")
def tokens() -> pl.DataFrame:
    """Tokens of the tracks t0 to t5."""
    codes = {modality: [(track + place) % 4 for track in range(6)] for place, modality in enumerate(MODALITIES)}
    frame = pl.DataFrame(
        {"track_id": [f"t{track}" for track in range(6)], **codes, "codebook_hash": ["c0"] * 6},
        schema_overrides=dict.fromkeys(MODALITIES, pl.Int32),
    )
    return TALKPLAY_TOKENS.checked(frame)
