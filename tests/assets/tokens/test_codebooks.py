"""Codebooks of K-means and the five codes of a track, over tables."""

import hashlib

import numpy as np
import polars as pl
import pytest

from assets.tokens.codebooks import code_tracks, codebook_hash, fit_codebook, use_notes, use_of
from assets.tokens.tables import CODEBOOKS, TALKPLAY_TOKENS
from resources.profile import Tokens
from resources.talkplay_settings import MODALITIES

K = 4


def table(rows: dict[str, list[float] | None], dimensions: int = 2) -> pl.DataFrame:
    """Vectors by track."""
    column = pl.Series("vector", list(rows.values()), dtype=pl.Array(pl.Float32, dimensions))
    return pl.DataFrame([pl.Series("track_id", list(rows), dtype=pl.String), column])


def random_vectors(count: int, dimensions: int, *, seed: int = 0, every: int = 5) -> pl.DataFrame:
    """Random vectors; each `every`-th is missing."""
    vectors_ND = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    rows = {f"t{row:03d}": None if row % every == 0 else vector.tolist() for row, vector in enumerate(vectors_ND)}
    return table(rows, dimensions)


def settings(k: int = K, **others: object) -> Tokens:
    """The small profile's settings with another K."""
    return Tokens(kmeans_k=k, **others)


def fitted(vectors: pl.DataFrame, k: int = K, **others: object) -> pl.DataFrame:
    """The rows of a codebook, checked."""
    return CODEBOOKS.checked(fit_codebook(vectors, modality="audio", settings=settings(k, **others)).frame)


def test_each_of_k_distinct_vectors_is_a_centroid() -> None:
    """With K distinct vectors the centroids are those vectors, and `tracks` counts those that are nearest."""
    rows = {"a": [0.0, 1.0], "b": [1.0, 0.0], "c": [0.0, 1.0], "d": None, "e": [5.0, 5.0]}
    codebook = fitted(table(rows), k=3)
    counts = {tuple(vector): tracks for vector, tracks in codebook.select("vector", "tracks").iter_rows()}
    assert counts == {(0.0, 1.0): 2, (1.0, 0.0): 1, (5.0, 5.0): 1}
    assert codebook.select("scheme", "modality", "level").unique().rows() == [("kmeans", "audio", 0)]
    assert codebook["code"].to_list() == [0, 1, 2]


def test_too_few_distinct_vectors_lower_k() -> None:
    """Where K may be capped, it is the number of distinct vectors, and the UI is told both."""
    made = fit_codebook(
        table({"a": [0.0, 1.0], "b": [1.0, 0.0], "c": [1.0, 0.0]}), modality="audio", settings=settings(64)
    )
    assert made.frame.height == 2
    notes = [made.notes[name] for name in ("codes", "codes wanted", "distinct vectors", "vectors")]
    assert notes == [2, 64, 2, 3]


def test_positive_and_negative_zero_are_one() -> None:
    """Vectors that differ in the sign of a zero are equal, so they lower K too."""
    assert fitted(table({"a": [0.0, 1.0], "b": [-0.0, 1.0], "c": [1.0, 1.0]}), k=3).height == 2


def test_too_few_distinct_vectors_fail_where_k_is_fixed() -> None:
    """Without the cap the error names the modality, K, the number found, and what to set."""
    rows = table({"a": [0.0, 1.0], "b": [1.0, 0.0], "c": [1.0, 0.0]})
    with pytest.raises(ValueError, match="modality audio: K=4 needs at least 4 distinct vectors, found 2") as caught:
        fitted(rows, k=4, is_k_capped=False)
    assert str(caught.value).endswith("lower tokens.kmeans_k or set tokens.is_k_capped")


@pytest.mark.parametrize("rows", [{}, {"a": None, "b": None}])
def test_a_modality_that_no_track_has_gives_no_codes(rows: dict[str, None]) -> None:
    """Without a vector the codebook is empty, also where K is fixed, and its use says nothing."""
    codebook = fitted(table(rows), is_k_capped=False)
    assert codebook.is_empty()
    assert use_notes(codebook, modality="audio") == {}


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled vectors give the same bytes."""
    vectors = random_vectors(80, 8)
    for seed in range(3):
        assert fitted(vectors.sample(fraction=1, shuffle=True, seed=seed)).equals(fitted(vectors))


def test_tracks_without_a_vector_change_nothing() -> None:
    """Missing vectors are left out of the fit."""
    vectors = random_vectors(80, 8)
    assert fitted(vectors.drop_nulls()).equals(fitted(vectors))


def test_the_hash_is_that_of_the_centroids() -> None:
    """Equal centroids have one hash; a seed, a vector or a modality that changes them changes it."""
    vectors = random_vectors(80, 8)
    first = fitted(vectors)
    hashes = {
        first["codebook_hash"].unique().item(),
        fitted(vectors, kmeans_seed=8)["codebook_hash"].unique().item(),
        fitted(random_vectors(80, 8, seed=1))["codebook_hash"].unique().item(),
        fit_codebook(vectors, modality="lyrics", settings=settings()).frame["codebook_hash"].unique().item(),
    }
    assert len(hashes) == 4
    assert all(len(found) == len(hashlib.sha256().hexdigest()) for found in hashes)
    assert fitted(vectors)["codebook_hash"].unique().item() == first["codebook_hash"].first()


def test_use_is_counted_from_the_rows() -> None:
    """Two codes of three in use, each by half of the tracks: share 2/3, perplexity 2."""
    codebook = pl.DataFrame({"code": [2, 0, 1], "tracks": [0, 5, 5]})
    use = use_of(codebook)
    assert use.share_used == pytest.approx(2 / 3)
    assert use.perplexity == pytest.approx(2)
    notes = use_notes(codebook, modality="audio")
    assert str(notes["use"]).startswith("![tracks of each code](data:image/png;base64,")


def corpus() -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Vectors and codebooks of the five modalities, of different lengths and with different gaps."""
    vectors = {
        name: random_vectors(60, 3 + place, seed=place, every=4 + place) for place, name in enumerate(MODALITIES)
    }
    books = {name: fit_codebook(frame, modality=name, settings=settings()).frame for name, frame in vectors.items()}
    return vectors, books


def test_a_code_is_that_of_the_nearest_centroid() -> None:
    """Codes equal the argmin of distances by numpy, and K where the vector is missing."""
    vectors, books = corpus()
    tokens = TALKPLAY_TOKENS.checked(code_tracks(vectors, books, k=K))
    assert tokens["track_id"].to_list() == vectors["audio"]["track_id"].to_list()
    for name in MODALITIES:
        centroids_KD = books[name].sort("code")["vector"].to_numpy().astype(np.float64)
        expected = [
            K if vector is None else int(np.square(np.array(vector) - centroids_KD).sum(axis=1).argmin())
            for vector in vectors[name]["vector"].to_list()
        ]
        assert tokens[name].to_list() == expected
        assert K in expected


def test_a_track_that_a_modality_does_not_list_has_its_reserved_code() -> None:
    """A track without a row in a modality counts as missing there, and no other track's code moves."""
    vectors, books = corpus()
    whole = code_tracks(vectors, books, k=K)
    shorter = vectors | {"audio": vectors["audio"].slice(3)}
    tokens = code_tracks(shorter, books, k=K)
    assert tokens["audio"].to_list() == [K] * 3 + whole["audio"].to_list()[3:]
    assert tokens.drop("audio").equals(whole.drop("audio"))


def test_the_order_of_tracks_and_codes_changes_no_code() -> None:
    """Vectors and codebooks upside down give the same tokens."""
    vectors, books = corpus()
    turned = [{name: frame.reverse() for name, frame in frames.items()} for frames in (vectors, books)]
    assert code_tracks(*turned, k=K).equals(code_tracks(vectors, books, k=K))


def test_an_empty_codebook_gives_the_reserved_code_to_all() -> None:
    """A modality that no track has is missing everywhere, and the rest is coded."""
    vectors, books = corpus()
    ids = vectors["lyrics"]["track_id"]
    vectors["lyrics"] = table(dict.fromkeys(ids))
    books["lyrics"] = fit_codebook(vectors["lyrics"], modality="lyrics", settings=settings()).frame
    tokens = TALKPLAY_TOKENS.checked(code_tracks(vectors, books, k=K))
    assert set(tokens["lyrics"]) == {K}
    assert set(tokens["audio"]) != {K}


def test_no_tracks_have_no_tokens() -> None:
    """A shard without tracks is a table without rows."""
    vectors, books = corpus()
    empty = {name: frame.clear() for name, frame in vectors.items()}
    assert TALKPLAY_TOKENS.checked(code_tracks(empty, books, k=K)).is_empty()


def test_tokens_carry_one_hash_over_all_codebooks() -> None:
    """Every row has the hash of the five codebooks; another codebook of any modality changes it."""
    vectors, books = corpus()
    first = code_tracks(vectors, books, k=K)["codebook_hash"].unique().item()
    hashes = pl.concat(book.select("modality", "codebook_hash") for book in books.values())
    assert first == codebook_hash(hashes) == codebook_hash(hashes.sample(fraction=1, shuffle=True, seed=1))
    for name in MODALITIES:
        other = fit_codebook(vectors[name], modality=name, settings=settings(kmeans_seed=9)).frame
        assert code_tracks(vectors, books | {name: other}, k=K)["codebook_hash"].unique().item() != first
