"""One vector per text: the contract, and the embedded provider that hashes character n-grams and words."""

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resources.refusals import Refusal

# N texts, D dimensions, C code points of all texts

Vector = NDArray[np.float32]

NOT_A_WORD = re.compile(r"[\W_]+")
SHORTEST_GRAM, LONGEST_GRAM = 3, 5
FEATURES_PER_POINT = LONGEST_GRAM - SHORTEST_GRAM + 2  # the grams that begin at a code point, the word that ends there
WORD_WEIGHT = 3.0  # our choice: a word counts as much as the n-grams that it shares with its inflections
SIGNS = 16  # non-zero entries of a feature's projection, one in each stripe of the vector
SPACE = ord(" ")


class TextEncoder(Protocol):
    """Turns texts into unit-length vectors."""

    @property
    def name(self) -> str:
        """The provider and its settings: vectors of equal names can be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per text, in order; a refusal's location is the text's position.

        Raises ConnectionError when the provider cannot be reached.
        """
        ...


def unit_vectors(source: str, texts: Sequence[str], vectors: Mapping[int, Vector | Refusal]) -> list[Vector | Refusal]:
    """The vector of each position at unit length, or a refusal of that position: empty_text where there is no vector,
    bad_embedding where it has no direction.
    """
    results: list[Vector | Refusal] = []
    for position, text in enumerate(texts):
        vector = vectors.get(position, Refusal(source, "", "empty_text", repr(text)))
        if not isinstance(vector, Refusal):
            length = float(np.linalg.norm(vector))
            if 0 < length < np.inf:
                results.append(vector / np.float32(length))
                continue
            vector = Refusal(source, "", "bad_embedding", f"a vector of length {length}")
        results.append(vector._replace(source=source, location=str(position)))
    return results


@dataclass(frozen=True, slots=True)
class HashedNgramEncoder:
    """Character 3- to 5-grams and words, hashed to 64 bits, sublinearly counted, randomly projected.

    The projection of a feature is drawn from its hash (16 signs, sparse as in Kane & Nelson 2014): no table, no
    training, any script.
    Reason: empty_text.
    """

    dimensions: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dimensions < SIGNS:
            raise ValueError(f"HashedNgramEncoder: {self.dimensions} dimensions; expected at least {SIGNS}")

    @property
    def name(self) -> str:
        """The provider and its settings."""
        return f"hashed {SHORTEST_GRAM}-{LONGEST_GRAM}-grams, {self.dimensions} dimensions, seed {self.seed}"

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per text, in order."""
        if not texts:
            return []
        plain = [_plain(text) for text in texts]
        starts = np.zeros(len(plain) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in plain], out=starts[1:])
        points_C = np.frombuffer("".join(plain).encode("utf-32-le"), dtype=np.uint32)

        list_features, add_features = _compiled()
        features = np.zeros((len(points_C), FEATURES_PER_POINT), dtype=np.uint64)
        list_features(points_C, starts, features)
        sums_ND = np.zeros((len(plain), self.dimensions), dtype=np.float32)
        add_features(features, starts, np.uint64(self.seed % 2**64), sums_ND)

        norms_N = np.linalg.norm(sums_ND, axis=1)
        vectors_ND = sums_ND / np.maximum(norms_N, np.finfo(np.float32).tiny)[:, None]
        return [
            vectors_ND[row] if norms_N[row] > 0 else Refusal(self.name, str(row), "empty_text", repr(texts[row]))
            for row in range(len(plain))
        ]


def _plain(text: str) -> str:
    """Lower case between two spaces, punctuation as one space; punctuation is kept where there is nothing else."""
    folded = unicodedata.normalize("NFKC", text).casefold().encode("utf-8", "ignore").decode()
    words = NOT_A_WORD.sub(" ", folded).strip() or " ".join(folded.split())
    return f" {words} " if words else ""


@functools.cache
def _compiled() -> tuple[Callable[..., None], Callable[..., None]]:
    import numba

    return numba.njit(cache=True, nogil=True)(_list_features), numba.njit(cache=True, nogil=True)(_add_features)


def _list_features(points_C: NDArray[np.uint32], starts: NDArray[np.int64], features: NDArray[np.uint64]) -> None:
    """Hash the grams and words that begin or end at each code point (FNV-1a); a word's lowest bit is 1, 0 is none."""
    prime, one = np.uint64(0x100000001B3), np.uint64(1)
    gram_basis, word_basis = np.uint64(0xCBF29CE484222325), np.uint64(0x84222325CBF29CE4)
    for row in range(len(starts) - 1):
        end, word = starts[row + 1], word_basis
        for left in range(starts[row], end):
            gram = gram_basis
            for right in range(left, min(left + LONGEST_GRAM, end)):
                gram = (gram ^ np.uint64(points_C[right])) * prime
                if right - left >= SHORTEST_GRAM - 1:
                    features[left, right - left - SHORTEST_GRAM + 1] = gram << one
            if points_C[left] != SPACE:
                word = (word ^ np.uint64(points_C[left])) * prime
            elif word != word_basis:
                features[left, FEATURES_PER_POINT - 1] = (word << one) | one
                word = word_basis


def _add_features(
    features: NDArray[np.uint64], starts: NDArray[np.int64], seed: np.uint64, sums_ND: NDArray[np.float32]
) -> None:
    """Add each feature's signs to its text's row; a k-th occurrence weighs 1/k, so a count about its logarithm."""
    step, mix_1, mix_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
    slots = 16
    while slots < 2 * features.shape[1] * np.max(np.diff(starts)):
        slots *= 2
    # Counts by open addressing; `owners` spares clearing the table between texts.
    keys, counts, owners = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.full(slots, -1, np.int64)
    for row in range(len(starts) - 1):
        for key in features[starts[row] : starts[row + 1]].flat:
            if key == np.uint64(0):
                continue
            slot = np.int64((key * step) >> np.uint64(33)) & (slots - 1)
            while owners[slot] == row and keys[slot] != key:
                slot = (slot + 1) & (slots - 1)
            counts[slot] = counts[slot] + 1 if owners[slot] == row else 1
            keys[slot], owners[slot] = key, row
            weight = (np.float32(WORD_WEIGHT) if key & np.uint64(1) else np.float32(1)) / np.float32(counts[slot])
            state = key ^ (seed * step)
            for sign in range(SIGNS):
                # SplitMix64 (Steele, Lea & Flood 2014): the top bit is the sign, the low half the place in the stripe.
                state += step
                bits = (state ^ (state >> np.uint64(30))) * mix_1
                bits = (bits ^ (bits >> np.uint64(27))) * mix_2
                bits ^= bits >> np.uint64(31)
                first, end = sign * sums_ND.shape[1] // SIGNS, (sign + 1) * sums_ND.shape[1] // SIGNS
                place = first + np.int64(((bits & np.uint64(0xFFFFFFFF)) * np.uint64(end - first)) >> np.uint64(32))
                sums_ND[row, place] += weight if bits >> np.uint64(63) else -weight
