"""What the UI says of a trained autoencoder: use of the codes and error of the reconstruction by level, loss curves.

In: the model, its epochs, the vectors it was trained on and their codes. Out: numbers, and pictures as Markdown.
"""

# N vectors, D dimensions, L levels, K codes of a level

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from matplotlib.ticker import NullFormatter

from assets.tokens.codebook_use import codebook_use, plot_use
from assets.tokens.pictures import markdown_of, new_axes, png_of
from assets.tokens.rqvae import RQVAE, decoded
from assets.tokens.rqvae_training import Epoch

CHUNK_ROWS = 16_384
COLOURS = {"reconstruction": "#4c72b0", "codebook": "#dd8452", "commitment": "#55a868"}


def fit_notes(
    model: RQVAE, epochs: Sequence[Epoch], vectors_ND: np.ndarray, codes_NL: np.ndarray, *, title: str
) -> dict[str, str | int | float]:
    """Losses, and by level the share of codes used, perplexity and error, with their pictures.

    The error of level l is that of the vectors decoded from the sum of their first l codewords, beside the error of
    taking every vector for the mean of all.
    """
    last = epochs[-1]
    notes: dict[str, str | int | float] = {
        "last reconstruction loss": last.reconstruction,
        "last codebook loss": last.codebook,
        "revived codes": sum(epoch.revived for epoch in epochs),
        "losses": markdown_of(plot_losses(epochs, title=f"{title}: losses by epoch"), title="losses by epoch"),
        "error of the mean vector": _error_of_mean(vectors_ND),
    }
    errors_L = errors_by_level(model, vectors_ND, codes_NL)
    for level, (k, codes_N, error) in enumerate(zip(model.sizes, codes_NL.T, errors_L, strict=True), start=1):
        use = codebook_use(codes_N, k=k)
        picture = plot_use(use, title=f"{title} level {level}")
        notes |= {
            f"level {level}: share of codes used": use.share_used,
            f"level {level}: perplexity": use.perplexity,
            f"level {level}: reconstruction error": error,
            f"level {level}: use": markdown_of(picture, title="tracks of each code"),
        }
    return notes


def errors_by_level(model: RQVAE, vectors_ND: np.ndarray, codes_NL: np.ndarray) -> list[float]:
    """Squared error of the vectors decoded from their first 1, 2, ..., L codewords: summed over D, mean over N."""
    shallower, errors = deepcopy(model), []
    for codebook_KZ in reversed(list(shallower.codebooks)):
        errors.append(_reconstruction_error(shallower, vectors_ND, codes_NL))
        with torch.no_grad():
            codebook_KZ.zero_()  # a level of zeros adds nothing to the sum
    return errors[::-1]


def plot_losses(epochs: Sequence[Epoch], *, title: str) -> bytes:
    """PNG of the three losses by epoch, on a logarithmic scale."""
    axes = new_axes()
    numbers = np.arange(1, len(epochs) + 1)
    for name, colour in COLOURS.items():
        losses = np.array([getattr(epoch, name) for epoch in epochs])
        axes.plot(numbers, losses, color=colour, linewidth=1, marker="." if len(epochs) == 1 else "", label=name)
    if any(epoch.reconstruction > 0 for epoch in epochs):
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return png_of(axes)


def _reconstruction_error(model: RQVAE, vectors_ND: np.ndarray, codes_NL: np.ndarray) -> float:
    chunks = _chunks(len(vectors_ND))
    total = sum(_squares(vectors_ND[rows] - decoded(model, codes_NL[rows])) for rows in chunks)
    return total / len(vectors_ND)


def _error_of_mean(vectors_ND: np.ndarray) -> float:
    mean_D = vectors_ND.mean(0, dtype=np.float64)
    return sum(_squares(vectors_ND[rows] - mean_D) for rows in _chunks(len(vectors_ND))) / len(vectors_ND)


def _squares(differences_BD: np.ndarray) -> float:
    return float(np.square(differences_BD, dtype=np.float64).sum())


def _chunks(count: int) -> list[slice]:
    return [slice(first, first + CHUNK_ROWS) for first in range(0, count, CHUNK_ROWS)]
