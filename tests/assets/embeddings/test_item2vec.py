"""item2vec: tracks that playlists hold together lie near each other, and the same playlists give the same bytes."""

import hashlib
import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from assets.embeddings.item2vec import TrackVectors, fit_item2vec
from assets.embeddings.tables import ITEM2VEC

GROUPS = [[f"{group}{track}" for track in range(6)] for group in "abc"]
PRINT_HASH = """
import hashlib, json, sys
from assets.embeddings.item2vec import fit_item2vec
fitted = fit_item2vec(json.loads(sys.stdin.read()), **json.loads(sys.argv[1]))
print(hashlib.sha256(repr(fitted.track_ids).encode() + fitted.vectors_ND.tobytes()).hexdigest())
"""
SETTINGS = {
    "dimensions": 16,
    "epochs": 8,
    "window": 5,
    "negatives": 5,
    "min_appearances": 1,
    "workers": 1,
    "seed": 7,
}


def playlists() -> list[list[str]]:
    """Playlists of four tracks, each of one group of six."""
    return [list(tracks) for group in GROUPS for tracks in combinations(group, 4)] * 4


def fitted(lists: list[list[str]], **others: int) -> TrackVectors:
    """Vectors of the tracks of some playlists."""
    return fit_item2vec(lists, **{**SETTINGS, **others})


def hashed(vectors: TrackVectors) -> str:
    """One hash of ids and bytes."""
    return hashlib.sha256(repr(vectors.track_ids).encode() + vectors.vectors_ND.tobytes()).hexdigest()


def test_every_track_has_a_vector_of_unit_length() -> None:
    """Tracks come in lexical order, one row each, and fit the table."""
    vectors = fitted(playlists())
    assert vectors.track_ids == sorted(track for group in GROUPS for track in group)
    assert vectors.vectors_ND.shape == (18, 16)
    assert vectors.vectors_ND.dtype == np.float32
    assert np.linalg.norm(vectors.vectors_ND, axis=1) == pytest.approx(np.ones(18), abs=1e-6)
    frame = pl.DataFrame({"track_id": vectors.track_ids, "vector": vectors.vectors_ND})
    assert ITEM2VEC.checked(frame.with_columns(encoder=pl.lit("item2vec"))).height == 18


def test_tracks_of_one_group_are_nearer_than_tracks_of_two() -> None:
    """Each track is nearer to every track that it shares playlists with than to any that it does not."""
    vectors = fitted(playlists(), epochs=20)
    likeness_NN = vectors.vectors_ND @ vectors.vectors_ND.T
    group_N = np.array([track[0] for track in vectors.track_ids])
    is_same_NN = group_N[:, None] == group_N[None, :]
    for likeness_N, is_same_N in zip(likeness_NN, is_same_NN, strict=True):
        assert likeness_N[is_same_N].min() > likeness_N[~is_same_N].max()


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_one_worker_repeats_to_the_bit_in_any_process(hash_seed: str) -> None:
    """Whatever seed Python's own hashes have, the same playlists and seed give the same bytes."""
    import json

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINT_HASH, json.dumps(SETTINGS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        input=json.dumps(playlists()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashed(fitted(playlists()))


def test_another_seed_gives_other_vectors() -> None:
    """The seed is used."""
    assert hashed(fitted(playlists(), seed=8)) != hashed(fitted(playlists()))


def test_rare_tracks_get_no_vector() -> None:
    """A track on fewer positions than asked for has none; one with exactly as many has."""
    lists = [["a", "b", "c"], ["a", "b"], ["a", "d"]]
    assert fitted(lists, min_appearances=2).track_ids == ["a", "b"]
    assert fitted(lists, min_appearances=3).track_ids == ["a"]
    assert fitted(lists).track_ids == ["a", "b", "c", "d"]


def test_positions_are_counted_not_playlists() -> None:
    """A playlist that holds a track twice counts twice."""
    assert fitted([["a", "b", "a"]], min_appearances=2).track_ids == ["a"]


def test_a_playlist_of_one_track_teaches_nothing() -> None:
    """Its track has no vector, unless another playlist has it too, and no other vector changes."""
    lists = playlists()
    alone = fitted([["z"], *lists, ["a0"], []])
    assert "z" not in alone.track_ids
    assert hashed(alone) == hashed(fitted(lists))


@pytest.mark.parametrize(("lists", "min_appearances"), [([], 1), ([["a"], []], 1), ([["a", "b"]], 2)])
def test_nothing_to_learn_from_gives_no_vectors(lists: list[list[str]], min_appearances: int) -> None:
    """No playlists, only single tracks or only rare ones: no rows, of the dimensions asked for."""
    vectors = fitted(lists, min_appearances=min_appearances)
    assert vectors.track_ids == []
    assert vectors.vectors_ND.shape == (0, 16)
