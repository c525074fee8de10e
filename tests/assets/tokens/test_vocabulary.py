"""Music tokens: strings, ids by arithmetic, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.tokens.vocabulary import Vocabulary, m3_vocabulary
from resources.m3_settings import M3_MODALITIES
from resources.talkplay_settings import MODALITIES

SMALL = Vocabulary(("playlist", "audio"), (3, 2))
SMALL_M3 = m3_vocabulary({"ac": (2, 3), "bm": (1, 2)}, index_base=1, disambiguators=0, has_missing=True)

vocabularies = st.builds(
    lambda codes, index_base, has_missing: Vocabulary(MODALITIES[: len(codes)], tuple(codes), index_base, has_missing),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(0, 2),
    st.booleans(),
)
m3_vocabularies = st.builds(
    lambda sizes, index_base, disambiguators, has_missing: m3_vocabulary(
        dict(zip(M3_MODALITIES, sizes, strict=False)),
        index_base=index_base,
        disambiguators=disambiguators,
        has_missing=has_missing,
    ),
    st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=4), min_size=1, max_size=9),
    st.integers(0, 1),
    st.integers(0, 3),
    st.booleans(),
)


def paper_m3(sizes: tuple[int, ...] = (32, 64, 128), *, has_missing: bool = False) -> Vocabulary:
    """Nine modalities of 3MToken, counted from 1."""
    return m3_vocabulary(dict.fromkeys(M3_MODALITIES, sizes), index_base=1, disambiguators=0, has_missing=has_missing)


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


@given(vocabularies | m3_vocabularies, st.integers(0, 200_000), st.data())
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
        assert vocabulary.read(vocabulary.render(codes_M)) == tuple(codes_M)
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


def test_paper_size_of_3mtoken() -> None:
    """Nine modalities of 224 codes are the paper's 2,018 tokens, K-means has 4.57 times as many, a track has 29."""
    paper = paper_m3()
    assert paper.size == len(set(paper.tokens())) == 9 * (32 + 64 + 128) + 2 == 9 * 224 + 2 == 2018
    kmeans = m3_vocabulary(dict.fromkeys(M3_MODALITIES, (1024,)), index_base=1, disambiguators=0, has_missing=False)
    assert (kmeans.size - 2) / (paper.size - 2) == 9216 / 2016 == pytest.approx(4.57, abs=0.005)
    assert paper.wrapped_ids(np.zeros((1, 27), np.int32), 0).shape == (1, 9 * 3 + 2) == (1, 29)


def test_emission_order() -> None:
    """A track's tokens go through the modalities, and in each through the levels, AC1 AC2 AC3 BM1 to TC3."""
    paper = paper_m3()
    assert paper.modalities[:4] + paper.modalities[-1:] == ("AC1", "AC2", "AC3", "BM1", "TC3")
    written = paper.render([0] * 27)
    assert written.startswith("<begin_3MToken><AC1-1><AC2-1><AC3-1><BM1-1>")
    assert written.endswith("<TC2-1><TC3-1><end_3MToken>")


def test_paper_example_needs_73_codes_at_level_2() -> None:
    """The paper's `<AC2-73>`, counted from 1, is a token where level 2 has 73 codes, and not where it has 64."""
    example = ("<AC1-21>", "<AC2-73>", "<AC3-63>")
    assert [paper_m3((32, 73, 63)).parse(token) for token in example] == [("AC1", 20), ("AC2", 72), ("AC3", 62)]
    for sizes in ((32, 72, 63), (32, 64, 128)):
        with pytest.raises(ValueError, match=f"AC2 has no code 72; wanted 0 to {sizes[1] - 1}"):
            paper_m3(sizes).parse("<AC2-73>")


def test_missing_codes_of_3mtoken() -> None:
    """A missing modality's code is one past the last at every level: 27 tokens more for nine modalities."""
    vocabulary = paper_m3(has_missing=True)
    assert vocabulary.size == 2018 + 27
    assert [vocabulary.token(f"TC{level}", size) for level, size in ((1, 32), (2, 64), (3, 128))] == [
        *("<TC1-33>", "<TC2-65>", "<TC3-129>")
    ]


def test_disambiguating_code() -> None:
    """With disambiguators a track ends with one code more; none is reserved there, for every track has one."""
    vocabulary = m3_vocabulary({"ac": (2,)}, index_base=0, disambiguators=3, has_missing=True)
    codes = ["<AC1-0>", "<AC1-1>", "<AC1-2>", "<ID1-0>", "<ID1-1>", "<ID1-2>"]
    assert vocabulary.tokens() == [*codes, "<begin_3MToken>", "<end_3MToken>"]
    assert vocabulary.render([2, 1]) == "<begin_3MToken><AC1-2><ID1-1><end_3MToken>"


@pytest.mark.parametrize(
    "text",
    [
        "<AC1-1><AC2-1><BM1-1><BM2-1>",
        "<begin_3MToken><AC1-1><AC2-1><BM1-1><end_3MToken>",
        "<begin_3MToken><AC2-1><AC1-1><BM1-1><BM2-1><end_3MToken>",
        "<begin_3MToken><AC1-1> <AC2-1><BM1-1><BM2-1><end_3MToken>",
        "<begin_3MToken><AC1-1><AC2-5><BM1-1><BM2-1><end_3MToken>",
        "<|AC1-1|>",
    ],
)
def test_only_whole_tracks_are_read(text: str) -> None:
    """Text with a token too few, out of order, unknown, or with anything beside the tokens is no track."""
    assert SMALL_M3.read("<begin_3MToken><AC1-1><AC2-1><BM1-1><BM2-1><end_3MToken>") == (0, 0, 0, 0)
    with pytest.raises(ValueError, match="wanted"):
        SMALL_M3.read(text)
