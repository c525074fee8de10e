"""TalkPlay's music tokens: strings, ids by arithmetic, and the way back (arXiv 2502.13713).

A track's codes, one a modality, become `<|playlist-59|><|semantic-361|><|metadata-7|><|lyrics-98|><|audio-29|>` between
`<start_of_music>` and `<end_of_music>`. In a tokenizer the tokens follow each other from `first_id`: the codes of the
first modality, of the second, ..., then the two boundaries. So ids are sums, never look-ups of strings.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

# N tracks, M modalities, W = M + 2: a track's tokens with their boundaries
START_OF_MUSIC = "<start_of_music>"
END_OF_MUSIC = "<end_of_music>"
BOUNDARIES = (START_OF_MUSIC, END_OF_MUSIC)
TOKEN = re.compile(r"<\|([a-z][a-z0-9_]*)-(0|[1-9][0-9]*)\|>")
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a catalog whose tracks have one code in each modality.

    `codes` are the codebooks' sizes K; with `has_missing` each modality has one code more, K, for tracks that lack it.
    `index_base` is the number that code 0 bears in its string: the paper's examples allow both 0 and 1. Without missing
    codes and with K = 1,024 in five modalities these are the paper's 5,122 tokens.
    """

    modalities: tuple[str, ...]
    codes: tuple[int, ...]
    index_base: int = 0
    has_missing: bool = True

    def __post_init__(self) -> None:
        if len(self.modalities) != len(self.codes) or not self.modalities:
            raise ValueError(f"{len(self.modalities)} modalities but {len(self.codes)} codebook sizes; wanted one each")
        if len(set(self.modalities)) != len(self.modalities) or min(self.codes) < 1 or self.index_base < 0:
            raise ValueError(f"{self}: wanted distinct modalities, at least one code in each and an index base from 0")
        for modality in self.modalities:
            if not TOKEN.fullmatch(f"<|{modality}-0|>"):
                raise ValueError(f"modality {modality!r} can't name a token; wanted lower-case letters, digits and _")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Tokens of each modality: its codes, and the missing one."""
        return tuple(codes + self.has_missing for codes in self.codes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Place of each modality's code 0 among the tokens."""
        return tuple(accumulate(self.sizes[:-1], initial=0))

    @property
    def size(self) -> int:
        """How many tokens a tokenizer gains."""
        return sum(self.sizes) + len(BOUNDARIES)

    def tokens(self) -> list[str]:
        """All tokens in id order."""
        pairs = zip(self.modalities, self.sizes, strict=True)
        return [self.token(modality, code) for modality, size in pairs for code in range(size)] + list(BOUNDARIES)

    def token(self, modality: str, code: int) -> str:
        """`<|playlist-59|>` for code 59 of the playlist modality, counted from 0 whatever the index base."""
        size = self.sizes[self._place(modality)]
        if not 0 <= code < size:
            raise ValueError(f"{modality} has no code {code}; wanted 0 to {size - 1}")
        return f"<|{modality}-{code + self.index_base}|>"

    def parse(self, token: str) -> tuple[str, int]:
        """Modality and code of a token; ValueError for any string that `token` never returns."""
        match = TOKEN.fullmatch(token)
        if match is None:
            raise ValueError(f"{token!r} is no music token; wanted the like of <|{self.modalities[0]}-0|>")
        modality, code = match[1], int(match[2]) - self.index_base
        self.token(modality, code)
        return modality, code

    def render(self, codes_M: Sequence[int]) -> str:
        """One track as text: its tokens between the boundaries."""
        pairs = zip(self.modalities, codes_M, strict=True)
        return START_OF_MUSIC + "".join(self.token(modality, int(code)) for modality, code in pairs) + END_OF_MUSIC

    def start_id(self, first_id: int) -> int:
        """Id of `<start_of_music>` where the music tokens begin at `first_id`."""
        return first_id + sum(self.sizes)

    def end_id(self, first_id: int) -> int:
        """Id of `<end_of_music>` where the music tokens begin at `first_id`."""
        return first_id + sum(self.sizes) + 1

    def token_ids(self, codes_NM: npt.ArrayLike, first_id: int) -> IntArray:
        """Ids int32 [N, M] of codes counted from 0; ValueError for a code that its modality does not have."""
        codes_NM = self._columns(codes_NM)
        ids_NM = np.empty(codes_NM.shape, dtype=np.int32)
        self._shift(codes_NM, ids_NM, first_id)
        return ids_NM

    def wrapped_ids(self, codes_NM: npt.ArrayLike, first_id: int) -> IntArray:
        """Ids int32 [N, W] of tracks between their boundaries."""
        codes_NM = self._columns(codes_NM)
        ids_NW = np.empty((len(codes_NM), len(self.modalities) + len(BOUNDARIES)), dtype=np.int32)
        ids_NW[:, 0], ids_NW[:, -1] = self.start_id(first_id), self.end_id(first_id)
        self._shift(codes_NM, ids_NW[:, 1:-1], first_id)
        return ids_NW

    def codes_of(self, ids_NM: npt.ArrayLike, first_id: int) -> IntArray:
        """Codes int32 [N, M] of ids in modality order, the inverse of `token_ids`; ValueError for any other id."""
        ids_NM = self._columns(ids_NM)
        codes_NM = np.empty(ids_NM.shape, dtype=np.int32)
        for column, offset in enumerate(self.offsets):
            np.subtract(ids_NM[:, column], first_id + offset, out=codes_NM[:, column], casting="unsafe")
            self._check(codes_NM[:, column], column)
        return codes_NM

    def _place(self, modality: str) -> int:
        if modality not in self.modalities:
            raise ValueError(f"no modality {modality!r}; wanted one of {', '.join(self.modalities)}")
        return self.modalities.index(modality)

    def _columns(self, array: npt.ArrayLike) -> npt.NDArray[np.integer]:
        array_NM = np.asarray(array)
        if array_NM.ndim != 2 or array_NM.shape[1] != len(self.modalities) or array_NM.dtype.kind not in "iu":
            wanted = f"integers [N, {len(self.modalities)}]"
            raise ValueError(f"{array_NM.dtype} {array_NM.shape} given; wanted {wanted}: {', '.join(self.modalities)}")
        return array_NM

    def _shift(self, codes_NM: npt.NDArray[np.integer], ids_NM: IntArray, first_id: int) -> None:
        # By column: numpy's broadcast over rows of five would run a loop of five each time.
        for column, offset in enumerate(self.offsets):
            self._check(codes_NM[:, column], column)
            np.add(codes_NM[:, column], first_id + offset, out=ids_NM[:, column], casting="unsafe")

    def _check(self, codes_N: npt.NDArray[np.integer], column: int) -> None:
        size = self.sizes[column]
        if codes_N.size and (codes_N.min() < 0 or codes_N.max() >= size):
            row = int(((codes_N < 0) | (codes_N >= size)).argmax())
            raise ValueError(
                f"{self.modalities[column]} has no code {codes_N[row]} (row {row}); wanted 0 to {size - 1}"
                + ("" if self.has_missing else ", there being no missing codes")
            )
