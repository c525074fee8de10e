"""How a codebook's codes are used: counts, share used, perplexity, and their picture.

In: one code a track, missing ones left out by the caller. Out: numbers for checks and metadata, a small PNG.
"""

# N tracks, K codes

from typing import NamedTuple

import numpy as np

from assets.tokens.pictures import new_axes, png_of


class CodebookUse(NamedTuple):
    """Use of K codes by N tracks; `perplexity` is the number of equally used codes of the same entropy, 1..K."""

    counts_K: np.ndarray
    share_used: float
    perplexity: float
    dead_codes: np.ndarray


def codebook_use(codes_N: np.ndarray, *, k: int) -> CodebookUse:
    """Use of the codes 0..K-1.

    Raises ValueError for no codes at all and for a code outside 0..K-1.
    """
    if not len(codes_N):
        raise ValueError("no codes; expected the code of at least 1 track")
    if codes_N.min() < 0 or codes_N.max() >= k:
        raise ValueError(
            f"codes are {codes_N.min()}..{codes_N.max()}; expected 0..{k - 1}: leave the code of a missing modality out"
        )
    counts_K = np.bincount(codes_N, minlength=k)
    shares = counts_K[counts_K > 0] / len(codes_N)
    return CodebookUse(
        counts_K=counts_K,
        share_used=len(shares) / k,
        perplexity=float(np.exp(-(shares * np.log(shares)).sum())),
        dead_codes=np.flatnonzero(counts_K == 0),
    )


def plot_use(use: CodebookUse, *, title: str) -> bytes:
    """PNG of the tracks of each code, from the most to the least used, beside an even share."""
    k, tracks = len(use.counts_K), int(use.counts_K.sum())
    axes = new_axes()

    axes.fill_between(np.arange(k), np.sort(use.counts_K)[::-1], step="post", color="#4c72b0", linewidth=0)
    axes.axhline(tracks / k, color="#c44e52", linewidth=1, label=f"even share: {tracks / k:.4g}")
    axes.set_xlim(0, max(1, k - 1))
    axes.set_ylim(0)
    axes.set_xlabel("codes by use")
    axes.set_ylabel("tracks")
    axes.set_title(f"{title}: {use.share_used:.0%} of {k} codes used, perplexity {use.perplexity:.4g}", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return png_of(axes)
