"""3MToken's codebooks of one modality, over tables."""

import numpy as np
import polars as pl
import pytest

from assets.tokens.m3_codebooks import Fit, fit_kmeans_beside, fit_rqvae, fit_vqvae
from assets.tokens.rqvae import codes_of, from_bytes
from assets.tokens.tables import KMEANS_CODEBOOKS, M3_CODEBOOKS, M3_ENCODERS, M3_LOSSES
from resources.m3_settings import M3
from resources.profile import Tokens

SMALL = M3(sizes=[4, 3, 2], vqvae_k=5, kmeans_k=6, hidden=[16], latent_dimensions=4, batch=16, epochs=2)


def vectors_of(vectors_ND: np.ndarray, *, missing: int = 0) -> pl.DataFrame:
    """Vectors by track, after `missing` tracks without one."""
    column = pl.Series("vector", vectors_ND.astype(np.float32))
    gaps = pl.Series("vector", [None] * missing, dtype=column.dtype)
    ids = [f"t{row:03d}" for row in range(missing + len(vectors_ND))]
    return pl.DataFrame([pl.Series("track_id", ids, dtype=pl.String), pl.concat([gaps, column])])


def mixture(count: int = 60, *, seed: int = 0) -> np.ndarray:
    """Vectors around 12 centres in 8 dimensions."""
    random = np.random.default_rng(seed)
    centres = 2 * random.standard_normal((12, 8))
    return centres[random.integers(0, 12, count)] + 0.1 * random.standard_normal((count, 8))


def fitted(vectors: pl.DataFrame, settings: M3 = SMALL) -> Fit:
    """An RQ-VAE of modality tc, its rows checked."""
    fit = fit_rqvae(vectors, modality="tc", settings=settings)
    for table, frame in ((M3_CODEBOOKS, fit.codebooks), (M3_ENCODERS, fit.encoders), (M3_LOSSES, fit.losses)):
        table.checked(frame)
    return fit


@pytest.fixture(scope="module")
def plain() -> Fit:
    """An RQ-VAE of 60 vectors."""
    return fitted(vectors_of(mixture()))


def test_rows_are_the_model_by_level_code_and_epoch() -> None:
    """There is a row a code of levels 1 to 3 with the tracks that have it, one model, and a row an epoch."""
    vectors_ND = mixture()
    fit = fitted(vectors_of(vectors_ND, missing=3))
    model = from_bytes(fit.encoders["weights"].item())
    assert model.sizes == tuple(fit.encoders["sizes"].item()) == (4, 3, 2)
    assert fit.codebooks.select("level", "code").rows() == [
        *((1, code) for code in range(4)),
        *((2, code) for code in range(3)),
        *((3, code) for code in range(2)),
    ]
    codes_NL = codes_of(model, vectors_ND)
    counts = [np.bincount(codes_N, minlength=k) for codes_N, k in zip(codes_NL.T, (4, 3, 2), strict=True)]
    assert fit.codebooks["tracks"].to_list() == np.concatenate(counts).tolist()
    assert np.array_equal(fit.codebooks["vector"].to_numpy()[4:7], model.codebooks[1].detach().numpy())
    assert fit.losses["epoch"].to_list() == [1, 2]
    assert set(fit.losses["scheme"]) == {"rqvae"}


def test_the_order_of_rows_and_missing_vectors_change_nothing(plain: Fit) -> None:
    """Shuffled vectors give the same bytes, and tracks without a vector count for nothing."""
    fit = fitted(vectors_of(mixture(), missing=5).sample(fraction=1, shuffle=True, seed=1))
    assert fit.encoders.equals(plain.encoders)
    assert fit.codebooks.equals(plain.codebooks)
    assert fit.notes == plain.notes


def test_the_hash_is_that_of_the_weights(plain: Fit) -> None:
    """The hash is of the weights, the same in both tables; another seed or other vectors make another."""
    expected = plain.encoders["codebook_hash"].item()
    assert plain.codebooks["codebook_hash"].unique().item() == expected
    others = [fitted(vectors_of(mixture()), SMALL.model_copy(update={"seed": 8})), fitted(vectors_of(mixture(seed=1)))]
    assert len({expected, *(fit.encoders["codebook_hash"].item() for fit in others)}) == 3


def test_another_missing_code_is_another_hash() -> None:
    """Capped alike, sizes of 4 and of 9 have the same weights, but tokens of another missing code are not mixed."""
    vectors = vectors_of(np.repeat(mixture(3), 4, axis=0))
    fits = [fitted(vectors, SMALL.model_copy(update={"sizes": [size, 3, 2]})).encoders for size in (4, 9)]
    assert fits[0]["weights"].item() == fits[1]["weights"].item()
    assert fits[0]["codebook_hash"].item() != fits[1]["codebook_hash"].item()


def test_a_modality_may_have_sizes_of_its_own() -> None:
    """`sizes_of` gives a modality its own levels, here two."""
    fit = fitted(vectors_of(mixture()), SMALL.model_copy(update={"sizes_of": {"tc": [5, 2], "ac": [1]}}))
    assert fit.encoders["sizes"].item().to_list() == [5, 2]


def test_too_few_distinct_vectors_lower_the_sizes(plain: Fit) -> None:
    """Where sizes may be capped, none exceeds the number of distinct vectors, and the UI is told both."""
    fit = fitted(vectors_of(np.repeat(mixture(3), 4, axis=0)))
    assert fit.encoders["sizes"].item().to_list() == [3, 3, 2]
    names = ("vectors", "distinct vectors", "codes", "codes wanted")
    assert [fit.notes[name] for name in names] == [12, 3, "3, 3, 2", "4, 3, 2"]
    assert "codes wanted" not in plain.notes


def test_one_vector_is_enough() -> None:
    """A modality that a single track has gets codebooks of one code."""
    assert fitted(vectors_of(mixture(1))).codebooks["tracks"].to_list() == [1, 1, 1]


def test_too_few_distinct_vectors_fail_where_sizes_are_fixed() -> None:
    """Without the cap the error names modality, scheme, the number found and the settings."""
    fixed = SMALL.model_copy(update={"is_size_capped": False})
    vectors = vectors_of(np.repeat(mixture(3), 4, axis=0))
    with pytest.raises(ValueError, match=r"modality tc, rqvae: .*found 3.*m3\.is_size_capped"):
        fit_rqvae(vectors, modality="tc", settings=fixed)
    with pytest.raises(ValueError, match=r"modality tc, vqvae: .*found 3.*m3\.vqvae_k"):
        fit_vqvae(vectors, modality="tc", settings=fixed)
    with pytest.raises(ValueError, match=r"modality tc: K=6 .*found 3.*; lower m3\.kmeans_k or set m3\.is_size_capped"):
        fit_kmeans_beside(vectors, modality="tc", settings=fixed, lloyd=Tokens())


def test_a_modality_that_no_track_has_gives_no_rows() -> None:
    """Without a vector there is no codebook, encoder or loss, also where sizes are fixed."""
    fit = fitted(vectors_of(np.empty((0, 8)), missing=2), SMALL.model_copy(update={"is_size_capped": False}))
    assert fit.codebooks.is_empty()
    assert fit.encoders.is_empty()
    assert fit.losses.is_empty()
    assert fit.notes == {"vectors": 0}


def test_baselines_have_one_level() -> None:
    """VQ-VAE and K-means have one codebook each: of K latents at level 1, and of K centroids of the vectors."""
    vectors = vectors_of(mixture())
    vqvae = fit_vqvae(vectors, modality="tc", settings=SMALL)
    assert vqvae.codebooks.select("scheme", "level").unique().rows() == [("vqvae", 1)]
    assert vqvae.codebooks["vector"].to_numpy().shape == (5, 4)
    kmeans = KMEANS_CODEBOOKS.checked(fit_kmeans_beside(vectors, modality="tc", settings=SMALL, lloyd=Tokens()).frame)
    assert kmeans.select("scheme", "level").unique().rows() == [("kmeans", 0)]
    assert kmeans["vector"].to_numpy().shape == (6, 8)
