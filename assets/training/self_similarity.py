"""The self-similarity loss (TalkPlay, arXiv 2502.13713, eq. 2): token embeddings keep the geometry of the codebooks.

In each modality the cosines among the codes' token embeddings are drawn towards those among their centroids. Which norm
the paper takes is lost from its text: the mean of the squared differences is our choice.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from assets.shards.tokenizer import ExpandedTokenizer

# K codes of a modality, V vocabulary rows, D hidden


class CodeSimilarity(NamedTuple):
    """Token ids (int64) of one modality's codes, without the missing one, and the cosines (float32) of centroids."""

    ids_K: Tensor
    cosines_KK: Tensor


def code_similarities(
    codebooks: Mapping[str, pl.DataFrame], tokenizer: ExpandedTokenizer, *, without: str = ""
) -> list[CodeSimilarity]:
    """Similarities from each modality's rows of `tokens/codebooks`, in the vocabulary's order, but for one modality.

    An empty codebook has none. Raises ValueError for codebooks that are not the vocabulary's.
    """
    vocabulary = tokenizer.vocabulary
    unknown = sorted(set(codebooks) - set(vocabulary.modalities))
    if unknown:
        raise ValueError(f"codebooks of {unknown}; the tokenizer knows {', '.join(vocabulary.modalities)}")
    places = zip(vocabulary.modalities, vocabulary.offsets, vocabulary.codes, strict=True)
    return [
        _similarity(codebooks[modality], modality, first_id=tokenizer.first_id + offset, codes=codes)
        for modality, offset, codes in places
        if modality != without and modality in codebooks and len(codebooks[modality])
    ]


def self_similarity_loss(embeddings_VD: Tensor, similarities: Sequence[CodeSimilarity]) -> Tensor:
    """Mean over the modalities of the mean squared difference of cosines, float32; 0 for no modality."""
    if not similarities:
        return embeddings_VD.new_zeros((), dtype=torch.float32)
    device = embeddings_VD.device
    ids = torch.cat([similarity.ids_K for similarity in similarities]).to(device)
    # One gather: each would have a gradient of the whole matrix's size.
    parts = embeddings_VD.index_select(0, ids).float().split([len(similarity.ids_K) for similarity in similarities])
    with torch.autocast(device.type, enabled=False):
        losses = [
            (_cosines(part_KD) - similarity.cosines_KK.to(device)).square().mean()
            for part_KD, similarity in zip(parts, similarities, strict=True)
        ]
    return torch.stack(losses).mean()


def _similarity(codebook: pl.DataFrame, modality: str, *, first_id: int, codes: int) -> CodeSimilarity:
    rows = codebook.sort("code")
    wrong = rows.filter(~pl.col("code").is_between(0, codes - 1) | pl.col("code").is_duplicated())
    if len(wrong):
        raise ValueError(
            f"the codebook of {modality} has code {wrong['code'][0]}; wanted each of 0 to {codes - 1} once: "
            "make tokens and shards again"
        )
    ids_K = torch.from_numpy(first_id + rows["code"].to_numpy().astype(np.int64))
    return CodeSimilarity(ids_K, _cosines(torch.from_numpy(rows["vector"].to_numpy().astype(np.float32))))


def _cosines(vectors_KD: Tensor) -> Tensor:
    units_KD = torch.nn.functional.normalize(vectors_KD, dim=1)
    return units_KD @ units_KD.T
