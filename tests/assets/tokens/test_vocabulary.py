"""Music tokens: strings, ids by arithmetic, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.embeddings.tables import MODALITIES
from assets.tokens.vocabulary import Vocabulary

SMALL = Vocabulary(("playlist", "audio"), (3, 2))

vocabularies = st.builds(
    lambda codes, index_base, has_missing: Vocabulary(MODALITIES[: len(codes)], tuple(codes), index_base, has_missing),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(0, 2),
    st.booleans(),
)


def test_paper_size() -> None:
    """Without missing codes, five modalities of 1,024 codes are the paper's 5,122 tokens; with them, five more."""
    paper = Vocabulary(MODALITIES, (1024,) * 5, has_missing=False)
    assert paper.size == len(paper.tokens()) == 5 * 1024 + 2 == 5122
    assert Vocabulary(MODALITIES, (1024,) * 5).size == 5 * 1025 + 2


def test_paper_strings() -> None:
    """The paper's example track is written as the paper writes it."""
    paper = Vocabulary(MODALITIES, (1024,) * 5)
    example = "<|playlist-59|><|semantic-361|><|metadata-7|><|lyrics-98|><|audio-29|>"
    assert paper.render([59, 361, 7, 98, 29]) == f"<start_of_music>{example}<end_of_music>"


def test_id_order() -> None:
    """Modalities follow each other, each with its missing code last, then the boundaries."""
    assert SMALL.tokens() == [
        *("<|playlist-0|>", "<|playlist-1|>", "<|playlist-2|>", "<|playlist-3|>"),
        *("<|audio-0|>", "<|audio-1|>", "<|audio-2|>"),
        *("<start_of_music>", "<end_of_music>"),
    ]


def test_index_base() -> None:
    """The index base moves the numbers in the strings, not the codes nor the ids."""
    one_based = Vocabulary(("playlist", "audio"), (3, 2), index_base=1)
    assert one_based.token("audio", 0) == "<|audio-1|>"
    assert one_based.parse("<|audio-1|>") == ("audio", 0)
    assert one_based.token_ids([[0, 0]], 10).tolist() == SMALL.token_ids([[0, 0]], 10).tolist() == [[10, 14]]


def test_wrapped_ids() -> None:
    """A wrapped track is start, its codes, end."""
    assert SMALL.wrapped_ids([[2, 1]], 100).tolist() == [[107, 102, 105, 108]]


@given(vocabularies, st.integers(0, 200_000), st.data())
@settings(max_examples=50, deadline=None)
def test_arithmetic_is_the_token_list(vocabulary: Vocabulary, first_id: int, data: st.DataObject) -> None:
    """An id less the first id is the token's place in the list; codes come back from ids and strings."""
    row = st.tuples(*(st.integers(0, size - 1) for size in vocabulary.sizes))
    codes_NM = np.array(data.draw(st.lists(row, min_size=1, max_size=5)), dtype=np.int32)
    ids_NM = vocabulary.token_ids(codes_NM, first_id)
    tokens = vocabulary.tokens()
    assert ids_NM.dtype == np.int32
    for codes_M, ids_M in zip(codes_NM.tolist(), ids_NM.tolist(), strict=True):
        strings = [tokens[place - first_id] for place in ids_M]
        assert [vocabulary.parse(token) for token in strings] == list(zip(vocabulary.modalities, codes_M, strict=True))
        assert vocabulary.render(codes_M) == "".join([tokens[-2], *strings, tokens[-1]])
    assert np.array_equal(vocabulary.codes_of(ids_NM, first_id), codes_NM)


@given(
    st.text(alphabet="<|>playist-0123_ ", max_size=14) | st.sampled_from(["<|audio-007|>", "<|audio-9|>", "<|x-0|>"])
)
@settings(max_examples=100, deadline=None)
def test_parse_accepts_tokens_only(text: str) -> None:
    """Whatever parses is one of the vocabulary's tokens."""
    if text in SMALL.tokens()[:-2]:
        assert SMALL.token(*SMALL.parse(text)) == text
    else:
        with pytest.raises(ValueError, match=r"wanted"):
            SMALL.parse(text)


def test_code_out_of_range() -> None:
    """A code that its modality does not have is an error that names modality, row and range."""
    with pytest.raises(ValueError, match=r"audio has no code 3 \(row 1\); wanted 0 to 2"):
        SMALL.token_ids([[0, 2], [0, 3]], 0)
    with pytest.raises(ValueError, match="playlist has no code -1"):
        SMALL.token_ids([[-1, 0]], 0)
    with pytest.raises(ValueError, match="no missing codes"):
        Vocabulary(("audio",), (2,), has_missing=False).token_ids([[2]], 0)


def test_id_of_another_modality() -> None:
    """An id in the wrong place of a track is no code."""
    with pytest.raises(ValueError, match="audio has no code -4"):
        SMALL.codes_of([[0, 0]], 0)


def test_shape_is_checked() -> None:
    """Codes that are not one a modality, or not integers, are refused."""
    for wrong in ([[1, 1, 1]], [1, 1], [[0.5, 1.0]]):
        with pytest.raises(ValueError, match=r"wanted integers \[N, 2\]"):
            SMALL.token_ids(wrong, 0)


def test_no_tracks() -> None:
    """No tracks have no ids."""
    assert SMALL.token_ids(np.empty((0, 2), dtype=np.int32), 5).shape == (0, 2)


@pytest.mark.parametrize(
    ("modalities", "codes"),
    [((), ()), (("audio",), (1, 2)), (("audio", "audio"), (1, 1)), (("audio",), (0,)), (("Audio|>",), (1,))],
)
def test_bad_settings(modalities: tuple[str, ...], codes: tuple[int, ...]) -> None:
    """A vocabulary that could not be told apart is refused."""
    with pytest.raises(ValueError, match="wanted"):
        Vocabulary(modalities, codes)
