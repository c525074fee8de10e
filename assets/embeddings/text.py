"""What is embedded of a track as text: one document per track and text modality, null where there is nothing to say."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets.code_version import module_version
from assets.embeddings.text_worker import Text, TextSettings
from resources.profile import Profile
from resources.providers import text_encoder
from resources.text_encoder import HashedNgramEncoder
from resources.workers import Crew, Need, Task, crew

BATCH = 512  # texts: of this many, those of like lengths are encoded together
WORKER = "assets.embeddings.text_worker:TextWorker"


def metadata_documents(tracks: pl.DataFrame) -> pl.DataFrame:
    """(track_id, text) of catalog/tracks: '<title> by <artist> from <album> <year>', without what is unknown."""
    parts = [
        pl.col("title"),
        pl.lit("by ") + pl.col("artist"),
        pl.lit("from ") + pl.col("album"),
        pl.col("release_year").cast(pl.String),
    ]
    return tracks.select("track_id", text=pl.concat_str(parts, separator=" ", ignore_nulls=True))


def semantic_documents(tags: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    """(track_id, text) of content/tags and content/captions: the tags, then the caption."""
    parts = [pl.col("tags").list.join(", "), pl.col("caption")]
    text = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    joined = tags.select("track_id", "tags").join(captions.select("track_id", "caption"), on="track_id", how="left")
    return joined.select("track_id", text=pl.when(text != "").then(text)).sort("track_id")


def lyrics_documents(lyrics: pl.DataFrame) -> pl.DataFrame:
    """(track_id, text) of content/lyrics: the words that are sung."""
    return lyrics.select("track_id", "text")


@contextmanager
def open_reader(
    *, profile: Profile, kept: Path, log: Callable[[str], None]
) -> Iterator[Callable[[pl.DataFrame, str], dict[str, Any]]]:
    """Reads documents (track_id, text): a function of them and their partition, to the outcome of each distinct text.

    Equal texts are encoded once. The model is looked for when the function is first called.
    """
    with ExitStack() as stack:

        @cache
        def readers() -> Crew:
            encoder = text_encoder(profile)
            version = module_version(type(encoder).__module__)
            # Hashing n-grams is faster than reading what was kept of it.
            identity = None if isinstance(encoder, HashedNgramEncoder) else f"{encoder.name}, {version}"
            needs = [Need("vector", identity, np.ndarray)]
            workers = profile.workers.model_copy(update={"preparers": 0})
            settings = TextSettings(profile.model_dump_json())
            return stack.enter_context(crew(workers, WORKER, settings, needs, kept=kept, batch=BATCH, log=log))

        def read(documents: pl.DataFrame, part: str) -> dict[str, Any]:
            texts = documents["text"].drop_nulls().unique().sort().to_list()
            tasks = [Task(sha256(text.encode()).hexdigest(), Text(text)) for text in texts]
            outcomes = readers().map(tasks, part=part)
            return {text: outcome["vector"] for text, outcome in zip(texts, outcomes, strict=True)}

        yield read
