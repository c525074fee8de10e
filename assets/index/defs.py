"""What Dagster sees of `index`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

from assets.embeddings.tables import VECTORS
from assets.index.tables import M3_INDEX, TOKEN_INDEX
from assets.making import asset_key
from assets.tokens.tables import CODEBOOKS, M3_CODEBOOKS, M3_COLLISIONS, M3_TOKENS, TALKPLAY_TOKENS
from assets.work import Work, asset
from resources.lake import Lake, Made
from resources.m3_settings import M3_MODALITIES
from resources.profile import Profile
from resources.talkplay_settings import MODALITIES

if TYPE_CHECKING:
    from resources.track_index import WrittenIndex

M3_NAME = Path(M3_INDEX.name).stem
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
        part.write_folder(TOKEN_INDEX, partial(_fill, write, TOKEN_INDEX.name), notes={"codebook hash": present})


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


@asset(
    M3_INDEX,
    whole=[M3_TOKENS, M3_CODEBOOKS, M3_COLLISIONS],
    sections=["m3", "m3_tokens"],
    kinds={"lancedb"},
    pool="lancedb",
)
def m3_index(work: Work) -> None:
    """3MToken's codes of every track in LanceDB, a column each, to look tracks up by hierarchical or counted matches.

    The index refuses tokens of another version of the codebooks.
    """
    from assets.index.m3_columns import m3_columns
    from assets.tokens.codebooks import codebook_hash
    from resources.track_index import write_index

    sizes = {modality: work.profile.m3.level_sizes(modality) for modality in M3_MODALITIES}
    disambiguators = work.profile.m3_tokens.disambiguators
    for part in work:
        present = codebook_hash(part.read(M3_CODEBOOKS, columns=["modality", "codebook_hash"]))
        tokens, collisions = part.read(M3_TOKENS), part.read(M3_COLLISIONS)
        rows, codes = m3_columns(tokens, collisions, sizes=sizes, disambiguators=disambiguators)
        write = partial(write_index, table=rows, codebook_hash=present, codes_per_modality=codes, name=M3_NAME)
        part.write_folder(M3_INDEX, partial(_fill, write, M3_INDEX.name), notes={"codebook hash": present})


@dg.asset_check(
    asset=asset_key(M3_INDEX), blocking=True, description="The index finds tracks by their own codes, first of all."
)
def m3_tracks_find_themselves(lake: Lake) -> dg.AssetCheckResult:
    """Whether sampled tracks come back for their own codes, exactly, and what ranks first has all codes they have."""
    from assets.index.level_matching import level_matcher_of
    from assets.tokens.codebooks import codebook_hash
    from resources.track_index import open_index

    present = codebook_hash(lake.read(M3_CODEBOOKS, columns=["modality", "codebook_hash"]))
    index = open_index(lake.file(M3_INDEX).parent, codebook_hash=present, name=M3_NAME)
    index.verify()
    matcher = level_matcher_of(index)
    codes_CN, numbers = matcher.postings.codes, matcher.numbers
    tracks = codes_CN.shape[1]
    rows = np.unique(np.linspace(0, tracks - 1, min(SAMPLE_TRACKS, tracks)).astype(int))
    own_BC = codes_CN[:, rows].T
    first_BC = codes_CN[:, matcher.rank_many(own_BC, top=1).rows.ravel()].T
    is_first = ((first_BC == own_BC) | (own_BC == matcher.postings.sizes)).all(axis=1)
    found = sum(
        row in matcher.exact(codes, number=None if numbers is None else int(numbers[row]))
        for row, codes in zip(rows, own_BC, strict=True)
    )
    return dg.AssetCheckResult(
        passed=bool(found == is_first.sum() == len(rows)),
        metadata={"sampled tracks": len(rows), "found": found, "first": int(is_first.sum())},
    )


def _fill(write: "Callable[[Path], WrittenIndex]", name: str, folder: Path) -> Made:
    """Fills the folder with the LanceDB table itself: the lake's folder is the table, its parent the database."""
    written = write(folder)
    nested = folder / name
    for path in nested.iterdir():
        path.rename(folder / path.name)
    nested.rmdir()
    return Made(rows=written.rows, sha256=written.sha256)
