import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.refusals import Refusal
from resources.text_encoder import HashedNgramEncoder, Vector


def encoded(*texts: str, encoder: HashedNgramEncoder | None = None) -> list[Vector]:
    """The vector of each text."""
    results = (encoder or HashedNgramEncoder()).encode(texts)
    vectors = [result for result in results if isinstance(result, np.ndarray)]
    assert len(vectors) == len(texts)
    return vectors


def test_vectors_have_unit_length_and_the_stated_size() -> None:
    """Each is float32, of `dimensions` numbers and length 1."""
    for dimensions in (16, 50, 128):
        (vector,) = encoded("slow folk", encoder=HashedNgramEncoder(dimensions))
        assert vector.dtype == np.float32
        assert vector.shape == (dimensions,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "related", "unrelated"),
    [
        ("sad acoustic folk", "acoustic folk, melancholy", "heavy metal, thrash"),
        ("songs for dancing", "dance song", "winter silence"),
        ("Rain by Ann from Weather 1999", "Sun by Ann from Weather 1999", "Iron Fist by Bo from Steel 1982"),
        ("ひも かぜ", "かぜ ひも", "そら みず"),
    ],
)
def test_related_texts_are_nearer(text: str, related: str, unrelated: str) -> None:
    """Shared words, inflections, artists and characters bring texts together."""
    vector, near, far = encoded(text, related, unrelated)
    assert vector @ near > vector @ far + 0.2


def test_unrelated_texts_are_nearly_orthogonal() -> None:
    """Random words: the mean cosine is near 0 and its spread near 1 / sqrt(dimensions)."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(200)]
    vectors_ND = np.array(encoded(*texts))
    cosines = (vectors_ND @ vectors_ND.T)[np.triu_indices(200, 1)]
    assert abs(cosines.mean()) < 0.01
    assert cosines.std() == pytest.approx(1 / np.sqrt(128), rel=0.3)


def test_case_accents_of_width_and_punctuation_do_not_matter() -> None:
    """Full-width, upper-case and hyphenated writing is one text."""
    first, *others = encoded("hip hop beats", "HIP-HOP  beats!", "\uff48\uff49\uff50 hop \u201cbeats\u201d")
    for other in others:
        assert np.array_equal(first, other)


def test_repetition_counts_sublinearly() -> None:
    """A hundred times the same word does not drown the other."""
    once, often, other = encoded("rain fire", "rain " * 100 + "fire", "fire")
    # By plain counts the cosine would be about 1 / 100.
    assert 0.1 < often @ other < once @ other


def test_seeds_differ() -> None:
    """Another seed is another projection, and another name."""
    first, second = HashedNgramEncoder(seed=0), HashedNgramEncoder(seed=1)
    assert abs(encoded("slow folk", encoder=first)[0] @ encoded("slow folk", encoder=second)[0]) < 0.5
    assert first.name != second.name


@pytest.mark.parametrize("text", ["", "  \n", "\u3000"])
def test_empty_texts_are_refused_in_their_place(text: str) -> None:
    """Nothing but white space has no vector; the others keep their places."""
    results = HashedNgramEncoder().encode(["a", text, "b"])
    assert [isinstance(result, Refusal) for result in results] == [False, True, False]
    refusal = results[1]
    assert isinstance(refusal, Refusal)
    assert (refusal.location, refusal.reason) == ("1", "empty_text")


def test_no_texts_are_no_vectors() -> None:
    """An empty batch has an empty answer."""
    assert HashedNgramEncoder().encode([]) == []


def test_punctuation_alone_is_a_text() -> None:
    """A title of emoji or marks has a vector of its own."""
    fire, heart = encoded("\U0001f525\U0001f525\U0001f525", "???")
    assert fire @ heart < 0.5


def test_too_few_dimensions_are_an_error() -> None:
    """Each of the 16 signs needs a dimension."""
    with pytest.raises(ValueError, match="expected at least 16"):
        HashedNgramEncoder(8)


@given(st.lists(st.text(max_size=40), max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_vector_depends_on_its_text_alone(texts: list[str]) -> None:
    """Alone or in company, any text has the same result."""
    for text, result in zip(texts, HashedNgramEncoder(16).encode(texts), strict=True):
        (alone,) = HashedNgramEncoder(16).encode([text])
        if isinstance(result, Refusal):
            assert isinstance(alone, Refusal)
        else:
            assert np.array_equal(result, alone)


def test_vectors_do_not_depend_on_the_process() -> None:
    """Another interpreter with another hash seed gives the same bytes."""
    script = (
        "from resources.text_encoder import *; print(HashedNgramEncoder().encode(['slow folk'])[0].tobytes().hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert run.stdout.strip() == encoded("slow folk")[0].tobytes().hex()
