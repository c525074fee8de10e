"""What Dagster sees of `index`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

from assets.embeddings.tables import MODALITIES, VECTORS
from assets.index.tables import TOKEN_INDEX
from assets.making import asset_key
from assets.tokens.tables import CODEBOOKS, TALKPLAY_TOKENS
from assets.work import Work, asset
from resources.lake import Lake, Made
from resources.profile import Profile

if TYPE_CHECKING:
    from resources.track_index import WrittenIndex

INDEX_FOLDER = TOKEN_INDEX.name
SAMPLE_TRACKS = 200  # of the check, spread over the index


@asset(
    TOKEN_INDEX,
    whole=[TALKPLAY_TOKENS, CODEBOOKS, *VECTORS.values()],
    sections=["tokens"],
    kinds={"lancedb"},
    pool="lancedb",
)
def token_index(work: Work) -> None:
    """Tokens and vectors of every track in LanceDB, to look tracks up by exact tokens or by weighted partial matches.

    The index refuses tokens of another version of the codebooks.
    """
    from assets.tokens.codebooks import codebook_hash
    from resources.track_index import write_index

    for part in work:
        rows = part.read(TALKPLAY_TOKENS)
        present = codebook_hash(part.read(CODEBOOKS, columns=["modality", "codebook_hash"]))
        for modality in MODALITIES:
            vectors = part.read(VECTORS[modality], columns=["track_id", "vector"])
            rows = rows.join(vectors.rename({"vector": f"{modality}_vector"}), on="track_id", how="left")
        codes = dict.fromkeys(MODALITIES, work.profile.tokens.kmeans_k)

        write = partial(write_index, table=rows, codebook_hash=present, codes_per_modality=codes)
        part.write_folder(TOKEN_INDEX, partial(_fill, write), notes={"codebook hash": present})


@dg.asset_check(asset=asset_key(TOKEN_INDEX), blocking=True, description="The index finds tracks by their own tokens.")
def tracks_find_themselves(lake: Lake, profile: Profile) -> dg.AssetCheckResult:
    """Whether sampled tracks come back for their own five tokens, exactly and as the first class of the ranking."""
    from assets.index.matching import matcher_of
    from assets.tokens.codebooks import codebook_hash
    from resources.track_index import open_index

    present = codebook_hash(lake.read(CODEBOOKS, columns=["modality", "codebook_hash"]))
    index = open_index(lake.file(TOKEN_INDEX).parent, codebook_hash=present)
    index.verify()
    stored = index.codes()
    matcher = matcher_of(index, weights=profile.index.weights)
    rows = np.unique(np.linspace(0, len(stored.codes) - 1, min(SAMPLE_TRACKS, len(stored.codes))).astype(int))
    found = sum(int(row in matcher.exact(stored.codes[row])) for row in rows)
    distinct = pl.DataFrame(stored.codes).n_unique() if len(stored.codes) else 0
    return dg.AssetCheckResult(
        passed=found == len(rows),
        metadata={"sampled tracks": len(rows), "found": found, "distinct token sequences": distinct},
    )


def _fill(write: "Callable[[Path], WrittenIndex]", folder: Path) -> Made:
    """Fills the folder with the LanceDB table itself: the lake's folder is the table, its parent the database."""
    written = write(folder)
    nested = folder / INDEX_FOLDER
    for path in nested.iterdir():
        path.rename(folder / path.name)
    nested.rmdir()
    return Made(rows=written.rows, sha256=written.sha256)
