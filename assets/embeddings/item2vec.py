"""item2vec: skip-gram with negative sampling over playlists (Barkan & Koenigstein 2016), by gensim's Word2Vec.

A playlist is a sentence and a track a word. gensim is well kept and good (reference/performance.md 5); one worker makes
it repeatable to the bit, several make it faster. Leaves out subsampling of frequent tracks: it is off.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from gensim.models import Word2Vec

from resources.profile import Embeddings


class TrackVectors(NamedTuple):
    """Tracks in lexical order and one row of unit length each."""

    track_ids: list[str]
    vectors_ND: npt.NDArray[np.float32]


def item2vec_rows(lists: Sequence[Sequence[str]], settings: Embeddings) -> pl.DataFrame:
    """Rows of an embeddings table: the vectors of the tracks of some lists, trained with the profile's numbers."""
    fitted = fit_item2vec(
        lists,
        dimensions=settings.item2vec_dimensions,
        epochs=settings.item2vec_epochs,
        window=settings.item2vec_window,
        negatives=settings.item2vec_negatives,
        min_appearances=settings.item2vec_min_appearances,
        workers=settings.item2vec_workers,
        seed=settings.item2vec_seed,
    )
    name = f"item2vec {settings.item2vec_dimensions}d window {settings.item2vec_window}"
    track_ids = pl.Series("track_id", fitted.track_ids, dtype=pl.String)
    return pl.DataFrame([track_ids, pl.Series("vector", fitted.vectors_ND)]).with_columns(encoder=pl.lit(name))


def fit_item2vec(
    playlists: Sequence[Sequence[str]],
    *,
    dimensions: int,
    epochs: int,
    window: int,
    negatives: int,
    min_appearances: int,
    workers: int,
    seed: int,
) -> TrackVectors:
    """A unit vector for each track that at least `min_appearances` positions hold.

    Playlists of fewer than two tracks teach nothing and are passed over; no playlists give no vectors.
    """
    sentences = [list(playlist) for playlist in playlists if len(playlist) > 1]
    counts: dict[str, int] = {}
    for playlist in sentences:
        for track_id in playlist:
            counts[track_id] = counts.get(track_id, 0) + 1
    if not any(count >= min_appearances for count in counts.values()):
        return TrackVectors([], np.empty((0, dimensions), np.float32))
    model = Word2Vec(
        sentences,
        vector_size=dimensions,
        window=window,
        min_count=min_appearances,
        workers=workers,
        sg=1,
        hs=0,
        negative=negatives,
        sample=0,
        epochs=epochs,
        seed=seed,
    )
    track_ids = sorted(model.wv.index_to_key)
    vectors_ND = np.stack([model.wv[track_id] for track_id in track_ids]).astype(np.float32)
    return TrackVectors(track_ids, vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True))
