"""A recommender with random weights over eight made-up tracks, for the tests that talk to one."""

from pathlib import Path

import polars as pl

from assets.catalog.tables import TRACKS
from assets.content.tables import TAGS
from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.tables import TALKPLAY_TOKENS
from assets.tokens.vocabulary import Vocabulary
from assets.training.expansion import open_base
from assets.training.export import Card, Loaded, save_model
from assets.training.recommender import Catalog, Recommender
from resources.talkplay_settings import FULL, MODALITIES, Recommending, Talkplay
from resources.torch_turn import Turn

CODES = 3  # of each modality; code 3 is missing
CODEBOOKS = "c0de" * 16
MARKUP = "<img src=x onerror=\"document.title='broken'\"> & <b>Low</b>"
TITLES = [MARKUP, "Slow Harbour", "Glass Lanterns", "Night Ferry", "Paper Moons", "Iron Meadow", "Salt Road", "Amber"]
# Tracks 0 and 1 have the same tokens; all have playlist code 0 but for the last two; track 7 lacks lyrics.
ROWS = [
    (0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0),
    (0, 0, 1, 0, 0),
    (0, 1, 0, 0, 1),
    (0, 2, 2, 1, 0),
    (0, 2, 2, 2, 1),
    (1, 0, 0, 0, 0),
    (2, 1, 2, 3, 2),
]
TEXTS = ["a calm track for the evening", "something louder, please", "here is a calm track with a piano"]
SETTINGS = Recommending(beams=8, response_tokens=12)


def catalog(*, codebooks: str = CODEBOOKS) -> Catalog:
    """Tokens, names and tags of tracks t0 to t7; t1 has tags."""
    ids = [f"t{row}" for row in range(len(ROWS))]
    tokens = pl.DataFrame(
        {"track_id": ids, **dict(zip(MODALITIES, zip(*ROWS, strict=True), strict=True)), "codebook_hash": codebooks},
        schema_overrides=dict.fromkeys(MODALITIES, pl.Int32),
    )
    tracks = pl.DataFrame(
        {
            "track_id": ids,
            "title": TITLES,
            "artist": [f"Artist {row}" for row in range(len(ROWS))],
            "album": ["Tides", *[None] * 7],
            "shard": "shard_000",
            "is_warm": True,
            "train_appearances": 1,
            "plays": 0,
        }
    )
    tags = pl.DataFrame({"track_id": ids, "tags": [None, ["calm", "piano"], *[None] * 6], "status": "tagged"})
    return Catalog(TALKPLAY_TOKENS.checked(tokens), _completed(tracks, TRACKS.empty()), _completed(tags, TAGS.empty()))


def tokenizer() -> ExpandedTokenizer:
    """A byte-level BPE of 300 tokens and the music tokens."""
    return expand_tokenizer(train_tokenizer(TEXTS, vocabulary_size=300), Vocabulary(MODALITIES, (CODES,) * 5))


def loaded(variant: str = FULL) -> Loaded:
    """A model of two narrow layers with random weights."""
    expanded = tokenizer()
    sizes = Talkplay(hidden_size=32, layers=2, heads=2, feed_forward=48)
    return Loaded(open_base(sizes, expanded, folder=None, seed=1).model.eval(), expanded, CODEBOOKS, variant)


def recommender(variant: str = FULL, **settings: object) -> Recommender:
    """The recommender of that model; `settings` replace those of the tests."""
    chosen = SETTINGS.model_copy(update=settings)
    return Recommender(loaded(variant), catalog(), chosen, context_length=256, turn=Turn())


def write(folder: Path) -> None:
    """The same model as the folder that training writes."""
    model = loaded()
    card = Card(FULL, CODEBOOKS, {}, {}, {}, "none", SETTINGS)
    save_model(folder, model.model, model.tokenizer, card=card)


def _completed(frame: pl.DataFrame, empty: pl.DataFrame) -> pl.DataFrame:
    """The frame with the table's other columns, null."""
    others = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in empty.schema.items() if name not in frame]
    return frame.with_columns(others).select(empty.columns).cast(dict(empty.schema))
