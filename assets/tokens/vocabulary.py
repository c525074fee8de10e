"""Music tokens: strings, ids by arithmetic, and the way back.

TalkPlay (arXiv 2502.13713) has one code a modality, `<|playlist-59|><|semantic-361|>...<|audio-29|>` between
`<start_of_music>` and `<end_of_music>`; 3MToken (section 2.2) one a modality and level, `<AC1-21><AC2-73>...<TC3-49>`
between `<begin_3MToken>` and `<end_3MToken>`. In a tokenizer the tokens follow each other from `first_id`: the codes of
a track's first place, of its second, ..., then the two boundaries. So ids are sums, never look-ups of strings.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

# N tracks, M places: the codes of a track, W = M + 2: its tokens with their boundaries
BOUNDARIES = 2
DISAMBIGUATOR = "ID1"  # the place of the code that tells tracks with equal tokens apart
NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TokenForm:
    """How tokens are written: what surrounds a name and its number, and the tokens around a track."""

    opening: str
    closing: str
    start: str
    end: str

    def write(self, name: str, number: int) -> str:
        """A token."""
        return f"{self.opening}{name}-{number}{self.closing}"

    @property
    def pattern(self) -> re.Pattern[str]:
        """What `write` returns, with name and number as groups; no number has leading zeros."""
        return re.compile(f"{re.escape(self.opening)}({NAME.pattern})-(0|[1-9][0-9]*){re.escape(self.closing)}")


TALKPLAY = TokenForm("<|", "|>", "<start_of_music>", "<end_of_music>")
M3TOKEN = TokenForm("<", ">", "<begin_3MToken>", "<end_3MToken>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a catalog whose tracks have one code in each place.

    `modalities` names the places: TalkPlay's modalities, or 3MToken's with their levels, as AC1. `codes` are the
    codebooks' sizes K; with `has_missing` each place has one code more, K, for tracks that lack it, but for the places
    in `never_missing`. `index_base` is the number that code 0 bears in its string: TalkPlay's examples allow both 0 and
    1. Without missing codes and with K = 1,024 in five modalities these are the paper's 5,122 tokens.
    """

    modalities: tuple[str, ...]
    codes: tuple[int, ...]
    index_base: int = 0
    has_missing: bool = True
    never_missing: tuple[str, ...] = ()
    form: TokenForm = TALKPLAY

    def __post_init__(self) -> None:
        if len(self.modalities) != len(self.codes) or not self.modalities:
            raise ValueError(f"{len(self.modalities)} modalities but {len(self.codes)} codebook sizes; wanted one each")
        if len(set(self.modalities)) != len(self.modalities) or min(self.codes) < 1 or self.index_base < 0:
            raise ValueError(f"{self}: wanted distinct modalities, at least one code in each and an index base from 0")
        for modality in self.modalities:
            if not NAME.fullmatch(modality):
                raise ValueError(f"modality {modality!r} can't name a token; wanted letters, digits and _")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Tokens of each place: its codes, and the missing one."""
        pairs = zip(self.modalities, self.codes, strict=True)
        return tuple(codes + (self.has_missing and name not in self.never_missing) for name, codes in pairs)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where the tokens of each place begin."""
        return tuple(accumulate(self.sizes[:-1], initial=0))

    @property
    def size(self) -> int:
        """How many tokens a tokenizer gains."""
        return sum(self.sizes) + BOUNDARIES

    def tokens(self) -> list[str]:
        """All tokens in id order."""
        pairs = zip(self.modalities, self.sizes, strict=True)
        codes = [self.token(modality, code) for modality, size in pairs for code in range(size)]
        return [*codes, self.form.start, self.form.end]

    def token(self, modality: str, code: int) -> str:
        """`<|playlist-59|>` for code 59 of the playlist modality, counted from 0 whatever the index base."""
        size = self.sizes[self._place(modality)]
        if not 0 <= code < size:
            raise ValueError(f"{modality} has no code {code}; wanted 0 to {size - 1}")
        return self.form.write(modality, code + self.index_base)

    def parse(self, token: str) -> tuple[str, int]:
        """Modality and code of a token; ValueError for any string that `token` never returns."""
        match = self.form.pattern.fullmatch(token)
        if match is None:
            raise ValueError(f"{token!r} is no music token; wanted the like of {self.token(self.modalities[0], 0)}")
        modality, code = match[1], int(match[2]) - self.index_base
        self.token(modality, code)
        return modality, code

    def render(self, codes_M: Sequence[int]) -> str:
        """One track as text: its tokens between the boundaries."""
        pairs = zip(self.modalities, codes_M, strict=True)
        return self.form.start + "".join(self.token(modality, int(code)) for modality, code in pairs) + self.form.end

    def read(self, track: str) -> tuple[int, ...]:
        """The codes of one track, the inverse of `render`; ValueError for any other text."""
        pairs = [self.parse(match[0]) for match in self.form.pattern.finditer(track)]
        codes_M = tuple(code for _, code in pairs)
        if len(codes_M) != len(self.modalities) or self.render(codes_M) != track:
            raise ValueError(f"{track[:80]!r} is no track; wanted the tokens of {', '.join(self.modalities)} in order")
        return codes_M

    def start_id(self, first_id: int) -> int:
        """Id of the boundary before a track where the music tokens begin at `first_id`."""
        return first_id + sum(self.sizes)

    def end_id(self, first_id: int) -> int:
        """Id of the boundary after a track where the music tokens begin at `first_id`."""
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
        ids_NW = np.empty((len(codes_NM), len(self.modalities) + BOUNDARIES), dtype=np.int32)
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


def m3_vocabulary(
    sizes: Mapping[str, Sequence[int]], *, index_base: int, disambiguators: int, has_missing: bool
) -> Vocabulary:
    """3MToken's tokens for modalities with codes at levels: AC1, AC2, AC3, BM1, ... in the mapping's order.

    With `disambiguators` a track has one code more, `ID1`, that every track has. Without them and missing codes, nine
    modalities of 224 codes are the paper's 2,018 tokens.
    """
    places = {
        f"{modality.upper()}{level}": codes
        for modality, levels in sizes.items()
        for level, codes in enumerate(levels, start=1)
    }
    places |= {DISAMBIGUATOR: disambiguators} if disambiguators else {}
    return Vocabulary(
        modalities=tuple(places),
        codes=tuple(places.values()),
        index_base=index_base,
        has_missing=has_missing,
        never_missing=(DISAMBIGUATOR,) if disambiguators else (),
        form=M3TOKEN,
    )
