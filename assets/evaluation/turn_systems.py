"""TalkPlay's rivals (section 5): each gives every track of the catalog a score for every case.

bm25, dense, clap: texts of the chat against texts or recordings of the tracks. popularity: positions in training
playlists. id_only: nearness to the tracks recommended so far. chance: nothing.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.evaluation.turn_cases import NO_TRACK, TurnCases, joined
from assets.evaluation.turn_counts import Counts, Scores, TurnCounts, counts_in_blocks
from assets.evaluation.turn_texts import chat_texts, documents, last_queries
from resources.refusals import Refusal
from resources.text_encoder import TextEncoder, Vector

# C cases, B cases of a block, N tracks of the catalog, U distinct texts, D dimensions
Matrix = npt.NDArray[np.float32]

WORDS = re.compile(r"\w+")
TEXTS_AT_ONCE = 4096


def rival_counts(
    cases: TurnCases, catalog: pl.DataFrame, playlist_vectors: pl.DataFrame, encoder: TextEncoder
) -> dict[str, TurnCounts]:
    """The counts of every rival but clap. `catalog` has the rows of sql/evaluation/turn_catalog.sql.

    bm25 and dense read the whole chat so far, as in the paper; bm25_last and dense_last the query alone.
    """
    texts = documents(catalog)
    # Counted at once: the texts of the tracks are indexed and encoded once for both.
    both, sizes = joined([cases, cases]), [len(cases.prompts)] * 2
    queries = [*chat_texts(cases.prompts, catalog["title"].to_list()), *last_queries(cases.prompts)]
    bm25, bm25_last = bm25_counts(both, texts, queries).split(sizes)
    dense, dense_last = dense_counts(both, texts, queries, encoder).split(sizes)
    popularity_N = catalog["train_appearances"].to_numpy()
    vectors_ND = aligned_vectors(catalog["track_id"], playlist_vectors)
    return {
        "bm25": bm25,
        "bm25_last": bm25_last,
        "dense": dense,
        "dense_last": dense_last,
        "popularity": popularity_counts_of_turns(cases, popularity_N),
        "id_only": id_only_counts(cases, vectors_ND, popularity_N),
        "chance": chance_counts(cases, tracks=catalog.height),
    }


def bm25_counts(cases: TurnCases, texts: Sequence[str], queries: Sequence[str]) -> TurnCounts:
    """BM25 (Lucene's; k1 = 1.5, b = .75) of each case's query among the texts of the catalog's tracks.

    A word counts as often as the query says it. A query without a word of the texts finds all tracks alike.
    """
    import bm25s
    from scipy.sparse import csc_array

    words = [_words(text) for text in texts]
    if not any(words):
        return chance_counts(cases, tracks=len(texts))
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index(words, show_progress=False)
    parts = (index.scores[name] for name in ("data", "indices", "indptr"))
    weights_NV = csc_array(tuple(parts), shape=(len(texts), len(index.scores["indptr"]) - 1)).tocsr()

    def score(places: slice) -> Scores:
        # A product for many queries at once: `get_scores` of chats of 300 words takes twenty times as long.
        times_VB = np.zeros((weights_NV.shape[1], len(queries[places])), np.float32)
        for case, query in enumerate(queries[places]):
            np.add.at(times_VB[:, case], index.get_tokens_ids(_words(query)), 1)
        scores_BN: Scores = (weights_NV @ times_VB).T
        return scores_BN

    return counts_in_blocks(cases, score, tracks=len(texts))


def dense_counts(cases: TurnCases, texts: Sequence[str], queries: Sequence[str], encoder: TextEncoder) -> TurnCounts:
    """Cosine of each case's query to the texts of the catalog's tracks, all encoded by one encoder.

    A text that it refuses comes last; a query that it refuses finds all others alike.
    """
    distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    # Equal texts get one score: a product's last bits depend on where in the matrix a row is.
    text_N = np.array([distinct[text] for text in texts], np.int64)
    vectors_UD = _encoded(list(distinct), encoder)
    score = _cosines(_encoded(queries, encoder), vectors_UD)
    return counts_in_blocks(cases, lambda places: score(places)[:, text_N], tracks=len(texts))


def clap_counts(cases: TurnCases, vectors_ND: Matrix, queries: Sequence[str], encoder: TextEncoder) -> TurnCounts:
    """Cosine of each case's query, encoded by CLAP's text tower, to CLAP's vectors of the recordings.

    Tracks without a recording come last.
    """
    if encoder.dimensions != vectors_ND.shape[1]:
        raise ValueError(
            f"recordings have {vectors_ND.shape[1]} dimensions, {encoder.name} {encoder.dimensions}; wanted one model "
            "for both: materialize embeddings/sonic_vectors with the profile's CLAP"
        )
    return counts_in_blocks(cases, _cosines(_encoded(queries, encoder), vectors_ND), tracks=len(vectors_ND))


def popularity_counts_of_turns(cases: TurnCases, popularity_N: npt.NDArray[np.integer]) -> TurnCounts:
    """The most popular tracks first, for every case."""
    scores_N = popularity_N.astype(np.float32)

    def score(places: slice) -> Scores:
        return np.broadcast_to(scores_N, (len(cases.prompts[places]), len(scores_N)))

    return counts_in_blocks(cases, score, tracks=len(scores_N))


def id_only_counts(cases: TurnCases, vectors_ND: Matrix, popularity_N: npt.NDArray[np.integer]) -> TurnCounts:
    """Cosine to the mean of the playlist vectors of the tracks recommended so far; no text is read.

    Tracks without a vector, which are cold, come last. The most popular first where no track so far has a vector.
    """
    has_vector_N = _has_vector(vectors_ND)
    queries_CD = np.zeros((len(cases.prompts), vectors_ND.shape[1]), np.float32)
    for case, prompt in enumerate(cases.prompts):
        rows = [turn.track for turn in prompt.past if turn.track != NO_TRACK and has_vector_N[turn.track]]
        if rows:
            queries_CD[case] = vectors_ND[rows].mean(axis=0)
    has_query_C, cosines = np.any(queries_CD != 0, axis=1), _cosines(queries_CD, vectors_ND)

    def score(places: slice) -> Scores:
        scores_BN = cosines(places)
        scores_BN[~has_query_C[places]] = popularity_N
        return scores_BN

    return counts_in_blocks(cases, score, tracks=len(vectors_ND))


def chance_counts(cases: TurnCases, *, tracks: int) -> TurnCounts:
    """All candidates alike."""
    candidates_C = tracks - np.array([len(rows) for rows in cases.seen], np.int64)
    good_C: Counts = np.array([len(rows) for rows in cases.targets], np.int64)
    return TurnCounts(np.zeros_like(good_C), candidates_C, good_C)


def aligned_vectors(track_ids: pl.Series, rows: pl.DataFrame) -> Matrix:
    """The `vector` of each track at unit length, [N, D]; NaN in all its places where there is none."""
    present = rows.select("track_id", "vector")
    found = track_ids.to_frame("track_id").join(present, on="track_id", how="left", maintain_order="left")
    vectors_ND: Matrix = found["vector"].to_numpy().astype(np.float32)
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return vectors_ND


def _words(text: str) -> list[str]:
    return WORDS.findall(text.casefold())


def _encoded(texts: Sequence[str], encoder: TextEncoder) -> Matrix:
    """The vector of each text, NaN where it is refused; equal texts are encoded once."""
    distinct = list(dict.fromkeys(texts))
    vectors: dict[str, Vector | Refusal] = {}
    for first in range(0, len(distinct), TEXTS_AT_ONCE):
        some = distinct[first : first + TEXTS_AT_ONCE]
        vectors.update(zip(some, encoder.encode(some), strict=True))
    vectors_CD = np.full((len(texts), encoder.dimensions), np.nan, np.float32)
    for row, text in enumerate(texts):
        vector = vectors[text]
        if not isinstance(vector, Refusal):
            vectors_CD[row] = vector
    return vectors_CD


def _has_vector(vectors_ND: Matrix) -> npt.NDArray[np.bool_]:
    has_vector_N: npt.NDArray[np.bool_] = ~np.isnan(vectors_ND[:, 0])
    return has_vector_N


def _cosines(queries_CD: Matrix, vectors_ND: Matrix) -> Callable[[slice], Scores]:
    """What scores the cases of a slice: products of unit vectors up to a query's length.

    0 to a query of NaN, minus infinity of a vector of NaN.
    """
    queries_CD, known_ND, is_unknown_N = np.nan_to_num(queries_CD), np.nan_to_num(vectors_ND), ~_has_vector(vectors_ND)

    def score(places: slice) -> Scores:
        scores_BN: Scores = queries_CD[places] @ known_ND.T
        scores_BN[:, is_unknown_N] = -np.inf
        return scores_BN

    return score
