"""Whether what a training reads is of one making: shards, their tokenizer and the codebooks of their tokens."""

from collections.abc import Mapping, Sequence

import polars as pl

from assets.shards.writing import Manifest
from assets.tokens.codebooks import codebook_hash


def agreed_hash(manifests: Sequence[Manifest], tokenizer_hash: str, codebooks: Mapping[str, pl.DataFrame]) -> str:
    """The hash of the codebooks that shards were made with; ValueError for shards of other ones or other words.

    Their ids would be trained as those of other words and tracks, and nothing later could tell.
    """
    present = codebook_hash(pl.concat(book.select("modality", "codebook_hash") for book in codebooks.values()))
    for manifest in manifests:
        if (manifest.tokenizer_hash, manifest.codebook_hash) != (tokenizer_hash, present):
            raise ValueError(
                f"shards/{manifest.kind} are of tokenizer {manifest.tokenizer_hash[:12]} and codebooks "
                f"{manifest.codebook_hash[:12]}; wanted {tokenizer_hash[:12]} and {present[:12]}, which are there now: "
                "materialize tokens and shards again"
            )
    return present
