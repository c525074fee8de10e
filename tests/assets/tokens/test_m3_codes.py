"""Codes of tracks in nine modalities, and the way back."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.tokens.codebooks import codebook_hash
from assets.tokens.m3_codebooks import fit_kmeans_beside, fit_rqvae, fit_vqvae
from assets.tokens.m3_codes import Encoders, code_tracks, code_tracks_by_kmeans, decode_tracks, open_encoders
from assets.tokens.rqvae import codes_of, decoded
from assets.tokens.tables import M3_BASELINES, M3_TOKENS
from assets.tokens.vocabulary import m3_vocabulary
from resources.m3_settings import M3, M3_MODALITIES
from resources.profile import Tokens

SIZES = {"tc": [5, 2]}
SMALL = M3(sizes=[4, 3, 2], sizes_of=SIZES, vqvae_k=5, kmeans_k=6, hidden=[8], latent_dimensions=4, batch=16, epochs=1)
LEVELS = {modality: SMALL.level_sizes(modality) for modality in M3_MODALITIES}
TRACKS = 40
ABSENT = "sf"  # no track has it


def vectors_of(modality: str) -> pl.DataFrame:
    """Random vectors of a modality's own length; each has its own gaps."""
    place = M3_MODALITIES.index(modality)
    vectors_ND = np.random.default_rng(place).standard_normal((TRACKS, 3 + place)).astype(np.float32)
    is_missing = [modality == ABSENT or row % (4 + place) == 0 for row in range(TRACKS)]
    rows = [None if missing else row for missing, row in zip(is_missing, vectors_ND.tolist(), strict=True)]
    column = pl.Series("vector", rows, dtype=pl.Array(pl.Float32, 3 + place))
    return pl.DataFrame([pl.Series("track_id", [f"t{row:03d}" for row in range(TRACKS)]), column])


@pytest.fixture(scope="module")
def vectors() -> dict[str, pl.DataFrame]:
    """Vectors of the nine modalities."""
    return {modality: vectors_of(modality) for modality in M3_MODALITIES}


@pytest.fixture(scope="module")
def rows(vectors: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The encoders of the nine modalities as rows."""
    return pl.concat(fit_rqvae(vectors[name], modality=name, settings=SMALL).encoders for name in M3_MODALITIES)


@pytest.fixture(scope="module")
def encoders(rows: pl.DataFrame) -> Encoders:
    """The encoders, open."""
    return open_encoders(rows)


@pytest.fixture(scope="module")
def tokens(vectors: dict[str, pl.DataFrame], encoders: Encoders) -> pl.DataFrame:
    """The codes of all tracks, checked."""
    return M3_TOKENS.checked(code_tracks(vectors, encoders, sizes=LEVELS))


def test_codes_are_the_models_at_every_level(
    vectors: dict[str, pl.DataFrame], encoders: Encoders, tokens: pl.DataFrame
) -> None:
    """A track's list is its vector's codes, and the sizes themselves, one past the last code, where it is missing."""
    for name in set(M3_MODALITIES) - {ABSENT}:
        found = codes_of(encoders.models[name], vectors[name]["vector"].drop_nulls().to_numpy()).tolist()
        coded = iter(found)
        expected = [list(LEVELS[name]) if is_null else next(coded) for is_null in vectors[name]["vector"].is_null()]
        assert tokens[name].to_list() == expected
    assert tokens["ac"][0].to_list() == [4, 3, 2]
    assert tokens["tc"][0].to_list() == [5, 2]


def test_a_modality_that_no_track_has_is_missing_everywhere(encoders: Encoders, tokens: pl.DataFrame) -> None:
    """It has no encoder, and all tracks have its reserved codes."""
    assert sorted(encoders.models) == sorted(set(M3_MODALITIES) - {ABSENT})
    assert tokens[ABSENT].to_list() == [[4, 3, 2]] * TRACKS


def test_missing_codes_stay_the_profiles_where_sizes_are_capped() -> None:
    """With fewer distinct vectors than codes a missing track still has the profile's sizes."""
    column = pl.Series("vector", [[1.0, 0.0], [0.0, 1.0], None], dtype=pl.Array(pl.Float32, 2))
    frame = pl.DataFrame({"track_id": ["a", "b", "c"], "vector": column})
    opened = open_encoders(fit_rqvae(frame, modality="ac", settings=SMALL).encoders)
    assert opened.models["ac"].sizes == (2, 2, 2)
    found = code_tracks(dict.fromkeys(M3_MODALITIES, frame), opened, sizes=LEVELS)
    assert found["ac"][2].to_list() == [4, 3, 2]
    assert all(code < 2 for codes in found["ac"].to_list()[:2] for code in codes)


def test_the_order_of_rows_and_a_tracks_company_change_no_code(
    vectors: dict[str, pl.DataFrame], rows: pl.DataFrame, tokens: pl.DataFrame
) -> None:
    """Vectors and encoders upside down give the same tokens, and so does a part of the tracks alone."""
    turned = {name: frame.reverse() for name, frame in vectors.items()}
    assert code_tracks(turned, open_encoders(rows.reverse()), sizes=LEVELS).equals(tokens)
    part = {name: frame.slice(7, 9) for name, frame in vectors.items()}
    assert code_tracks(part, open_encoders(rows), sizes=LEVELS).equals(tokens.slice(7, 9))


def test_a_track_that_a_modality_does_not_list_is_missing_there(
    vectors: dict[str, pl.DataFrame], encoders: Encoders, tokens: pl.DataFrame
) -> None:
    """No row is as no vector, and no other track's codes move."""
    found = code_tracks(vectors | {"tc": vectors["tc"].slice(3)}, encoders, sizes=LEVELS)
    assert found["tc"].to_list() == [[5, 2]] * 3 + tokens["tc"].to_list()[3:]
    assert found.drop("tc").equals(tokens.drop("tc"))


def test_no_tracks_have_no_tokens(vectors: dict[str, pl.DataFrame], encoders: Encoders) -> None:
    """A shard without tracks is a table without rows, and so is what it decodes to."""
    empty = {name: frame.clear() for name, frame in vectors.items()}
    none = M3_TOKENS.checked(code_tracks(empty, encoders, sizes=LEVELS))
    assert none.is_empty()
    assert decode_tracks(none, encoders)["ac"].is_empty()


def test_tokens_carry_one_hash_over_all_codebooks(rows: pl.DataFrame, tokens: pl.DataFrame) -> None:
    """Every row has the hash of the encoders; another encoder of one modality changes it."""
    assert tokens["codebook_hash"].unique().to_list() == [codebook_hash(rows)]
    other = fit_rqvae(vectors_of("ri"), modality="ri", settings=SMALL.model_copy(update={"seed": 8})).encoders
    refitted = pl.concat([rows.filter(pl.col("modality") != "ri"), other])
    assert open_encoders(refitted).codebook_hash != codebook_hash(rows)


def test_codes_decode_to_vectors(encoders: Encoders, tokens: pl.DataFrame) -> None:
    """Each track gets what the model decodes its codes to, and null where the modality is missing."""
    back = decode_tracks(tokens, encoders)
    assert back[ABSENT]["vector"].null_count() == TRACKS
    for name in set(M3_MODALITIES) - {ABSENT}:
        codes = [codes for codes in tokens[name].to_list() if codes != list(LEVELS[name])]
        assert np.array_equal(back[name]["vector"].drop_nulls().to_numpy(), decoded(encoders.models[name], codes))
        is_missing = [codes == list(LEVELS[name]) for codes in tokens[name].to_list()]
        assert back[name]["vector"].is_null().to_list() == is_missing
        assert back[name]["track_id"].equals(tokens["track_id"])


def test_codes_of_other_codebooks_are_not_decoded(encoders: Encoders, tokens: pl.DataFrame) -> None:
    """Tokens with another hash are refused: their codes name other codewords."""
    with pytest.raises(ValueError, match=r"can't be decoded .* materialize tokens/m3_tokens again"):
        decode_tracks(tokens.with_columns(codebook_hash=pl.lit("0" * 64)), encoders)


def test_baselines_have_lists_of_one_code(vectors: dict[str, pl.DataFrame]) -> None:
    """VQ-VAE and K-means give one code a modality, K where it is missing, and have hashes of their own."""
    vqvae = open_encoders(
        pl.concat(fit_vqvae(frame, modality=name, settings=SMALL).encoders for name, frame in vectors.items())
    )
    centroids = {
        name: fit_kmeans_beside(frame, modality=name, settings=SMALL, lloyd=Tokens()).frame
        for name, frame in vectors.items()
    }
    by_scheme = {
        "vqvae": code_tracks(vectors, vqvae, sizes=dict.fromkeys(M3_MODALITIES, (SMALL.vqvae_k,))),
        "kmeans": code_tracks_by_kmeans(vectors, centroids, k=SMALL.kmeans_k),
    }
    both = M3_BASELINES.checked(pl.concat(frame.with_columns(scheme=pl.lit(s)) for s, frame in by_scheme.items()))
    assert both.height == 2 * TRACKS
    assert both["codebook_hash"].n_unique() == 2
    for name in M3_MODALITIES:
        assert set(both[name].list.len()) == {1}
        is_missing = vectors[name]["vector"].is_null()
        for scheme, k in (("vqvae", 5), ("kmeans", 6)):
            codes = by_scheme[scheme][name].list.first()
            assert (codes == k).equals(is_missing)
    distances = np.square(vectors["ac"]["vector"][1].to_numpy() - centroids["ac"]["vector"].to_numpy()).sum(1)
    assert by_scheme["kmeans"]["ac"][1].to_list() == [int(distances.argmin())]


@given(st.integers(0, TRACKS - 1), st.integers(0, 200_000), st.integers(0, 1))
@settings(max_examples=40, deadline=None)
def test_codes_survive_tokens_and_ids(tokens: pl.DataFrame, row: int, first_id: int, index_base: int) -> None:
    """A track's codes come back from its written tokens and from its ids, missing ones included."""
    vocabulary = m3_vocabulary(LEVELS, index_base=index_base, disambiguators=0, has_missing=True)
    codes = [code for name in M3_MODALITIES for code in tokens[name][row]]
    assert vocabulary.read(vocabulary.render(codes)) == tuple(codes)
    assert vocabulary.codes_of(vocabulary.token_ids([codes], first_id), first_id).tolist() == [codes]
