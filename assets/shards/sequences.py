"""Conversations and playlists as sequences of token ids with labels (TalkPlay, arXiv 2502.13713, eq. 1).

A conversation is the tokenizer's opening, then for each turn the listener's query, the track as music tokens between
their boundaries, and the response, each between its role's opening and the closing. Labels are on the music and the
response with their closings; the query and the openings, which are given when the model is used, have none. A
conversation longer than the context is split between turns into as few pieces as hold it, with nothing repeated; a turn
longer than the context refuses its conversation.

A continuation is a playlist cut at a random place into a prefix and what follows, every track between its boundaries.
Labels are on what follows, which the prefix predicts. A playlist gives two, cut at different places (one if it has two
tracks). Where both parts don't fit the context, each keeps the tracks nearest the cut, at least its half of the room.
The `end` token stands, labelled, only where the playlist's true end does.
"""

from typing import Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from assets.shards.draws import mixed
from assets.shards.packing import Sequences
from assets.shards.tokenizer import ExpandedTokenizer, TextIds
from resources.refusals import DETAIL_CHARACTERS

# T tokens, Q turns, P playlists, V versions, N tracks, L playlist positions, M modalities, W = M + 2: a wrapped track
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Built(NamedTuple):
    """Sequences, counts of what they were made from, and refused rows.

    Reasons: no_tokens, longer_than_context, control_token (conversations); no_tokens, too_short (playlists).
    """

    sequences: Sequences
    sources: dict[str, int]
    refused: pl.DataFrame


class Markers(NamedTuple):
    """Ids of the strings around sequences and messages."""

    begin: IntArray
    user: IntArray
    music: IntArray
    assistant: IntArray
    closing: IntArray
    end: IntArray


class Versions(NamedTuple):
    """Where each version's tracks lie among the positions: `before` tracks, then the cut, then `after` tracks."""

    cuts: LongArray
    before: LongArray
    after: LongArray
    has_end: BoolArray


class TurnPlaces(NamedTuple):
    """For each kept turn: where its ids start, whether it opens a piece, its texts' place and its track's row."""

    starts: LongArray
    is_first: BoolArray
    texts: npt.NDArray[np.uint32]
    tracks: LongArray


def conversation_sequences(
    turns: pl.DataFrame, tokens: pl.DataFrame, *, tokenizer: ExpandedTokenizer, context_length: int, split: Split
) -> Built:
    """The conversations of one split, in order of id, from conversations/turns and tokens/talkplay_tokens."""
    turns = turns.filter(pl.col("split") == split).sort("conversation_id", "turn").with_row_index("place")
    turns = _with_track_rows(turns, tokens)
    markers, wrapped_NW = _markers(tokenizer), _wrapped_ids(tokens, tokenizer)
    queries = tokenizer.encode_texts(turns["query"])
    responses = tokenizer.encode_texts(turns["response"])
    given = len(markers.user) + len(markers.music) + len(markers.assistant) + 3 * len(markers.closing)
    turns = turns.with_columns(
        tokens=given + wrapped_NW.shape[1] + np.diff(queries.starts) + np.diff(responses.starts),
        has_control=_any_of(tokenizer.is_control, queries) | _any_of(tokenizer.is_control, responses),
    )
    room = context_length - len(markers.begin)
    refused = _refused_turns(turns, room)
    kept = turns.join(refused, left_on="conversation_id", right_on="location", how="anti", maintain_order="left")

    lengths_Q = kept["tokens"].to_numpy()
    is_first_Q = _piece_starts(lengths_Q, kept["conversation_id"].rle_id().to_numpy(), room)
    stops_Q = np.cumsum(lengths_Q + len(markers.begin) * is_first_Q)
    starts_Q = stops_Q - lengths_Q
    sequences = _empty_sequences(np.append(starts_Q[is_first_Q] - len(markers.begin), stops_Q.max(initial=0)))
    places = TurnPlaces(starts_Q, is_first_Q, kept["place"].to_numpy(), kept["track_row"].to_numpy())
    _fill_turns(sequences, places, queries, responses, wrapped_NW, markers)
    counts = kept.select(
        conversations=pl.col("conversation_id").n_unique(), turns=pl.len(), tracks=pl.col("track_row").n_unique()
    )
    return Built(sequences, counts.row(0, named=True), refused)


def continuation_sequences(
    playlist_tracks: pl.DataFrame,
    playlist_splits: pl.DataFrame,
    tokens: pl.DataFrame,
    *,
    tokenizer: ExpandedTokenizer,
    context_length: int,
    seed: int,
    split: Split,
) -> Built:
    """The continuations of one split's playlists, in order of id and version.

    `playlist_tracks` has playlist_id, position and track_id; a position whose track has no tokens is refused and left
    out. The cuts of a playlist depend on the seed, its id and its tracks alone.
    """
    playlists = playlist_splits.filter(pl.col("split") == split).select("playlist_id").unique().sort("playlist_id")
    positions = playlist_tracks.join(playlists, on="playlist_id", how="semi").sort("playlist_id", "position")
    positions = _with_track_rows(positions, tokens)
    counts = positions.group_by("playlist_id").agg(tracks=pl.col("track_row").count().cast(pl.Int64))
    playlists = playlists.join(counts, on="playlist_id", how="left", maintain_order="left").fill_null(0)
    refused = _refused_playlists(positions, playlists)
    tracks_P = playlists["tracks"].to_numpy()
    track_L = positions["track_row"].drop_nulls().to_numpy()[np.repeat(tracks_P > 1, tracks_P)]
    playlists = playlists.filter(pl.col("tracks") > 1)

    markers, wrapped_NW = _markers(tokenizer), _wrapped_ids(tokens, tokenizer)
    edges, width = len(markers.begin) + len(markers.end), wrapped_NW.shape[1]
    room = (context_length - edges) // width
    if room < 2:
        raise ValueError(f"context_length is {context_length}; wanted at least {edges + 2 * width}: two tracks")
    versions = _versions(playlists, room, seed)
    lengths_V = len(markers.begin) + width * (versions.before + versions.after)
    lengths_V += len(markers.end) * versions.has_end
    sequences = _empty_sequences(np.cumsum(np.append(0, lengths_V)))
    _fill_tracks(sequences, versions, track_L, wrapped_NW, markers)
    tracks = int(np.count_nonzero(np.bincount(track_L)))
    sources = {"playlists": playlists.height, "playlist_tracks": len(track_L), "tracks": tracks}
    return Built(sequences, sources, refused)


def _with_track_rows(frame: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    rows = tokens.select("track_id", track_row=pl.int_range(pl.len(), dtype=pl.Int64))
    return frame.join(rows, on="track_id", how="left", maintain_order="left")


def _wrapped_ids(tokens: pl.DataFrame, tokenizer: ExpandedTokenizer) -> IntArray:
    hashes = tokens["codebook_hash"].unique().sort().to_list()
    if len(hashes) > 1:
        raise ValueError(f"tokens of {len(hashes)} codebooks: {', '.join(hashes)}; wanted one: make all tokens again")
    codes_NM = tokens.select(tokenizer.vocabulary.modalities).to_numpy()
    return tokenizer.vocabulary.wrapped_ids(codes_NM, tokenizer.first_id)


def _markers(tokenizer: ExpandedTokenizer) -> Markers:
    chat = tokenizer.chat
    texts = (chat.begin, chat.open("user"), chat.open("music"), chat.open("assistant"), chat.closing, chat.end)
    return Markers(*map(tokenizer.marker_ids, texts))


def _any_of(is_control: BoolArray, texts: TextIds) -> BoolArray:
    controls = np.append(0, np.cumsum(is_control[texts.ids]))
    return np.diff(controls[texts.starts]) > 0


def _refused_turns(turns: pl.DataFrame, room: int) -> pl.DataFrame:
    """One refusal for each conversation with a turn that can't be used, stating its first such turn."""
    reason = (
        pl.when(pl.col("track_row").is_null())
        .then(pl.lit("no_tokens"))
        .when(pl.col("has_control"))
        .then(pl.lit("control_token"))
        .when(pl.col("tokens") > room)
        .then(pl.lit("longer_than_context"))
    )
    bad = turns.with_columns(reason=reason).drop_nulls("reason")
    return bad.unique("conversation_id", keep="first", maintain_order=True).select(
        source=pl.lit("conversations/turns"),
        location="conversation_id",
        reason="reason",
        detail=pl.format("turn {}: {}, {} tokens", "turn", "track_id", "tokens").str.slice(0, DETAIL_CHARACTERS),
    )


def _refused_playlists(positions: pl.DataFrame, playlists: pl.DataFrame) -> pl.DataFrame:
    without_tokens = positions.filter(pl.col("track_row").is_null()).select(
        source=pl.lit("sources/playlist_tracks"),
        location=pl.format("{}/{}", "playlist_id", "position"),
        reason=pl.lit("no_tokens"),
        detail=pl.col("track_id").str.slice(0, DETAIL_CHARACTERS),
    )
    short = playlists.filter(pl.col("tracks") < 2).select(
        source=pl.lit("catalog/playlist_splits"),
        location=pl.col("playlist_id").cast(pl.String),
        reason=pl.lit("too_short"),
        detail=pl.format("{} tracks with tokens", "tracks"),
    )
    return pl.concat([without_tokens, short])


def _versions(playlists: pl.DataFrame, room: int, seed: int) -> Versions:
    """Two different cuts of each playlist (one of a playlist of two tracks), and what of it fits `room` tracks."""
    tracks_P = playlists["tracks"].to_numpy()
    playlist_V = np.repeat(np.arange(len(tracks_P)), np.clip(tracks_P - 1, 0, 2))
    is_second_V = np.append(False, playlist_V[1:] == playlist_V[:-1])[: len(playlist_V)]
    tracks_V, firsts_P = tracks_P[playlist_V], np.cumsum(tracks_P) - tracks_P
    with np.errstate(over="ignore"):
        ids_V = playlists["playlist_id"].to_numpy()[playlist_V].astype(np.uint64)
        random_V = mixed(mixed(np.full(1, seed).astype(np.uint64)) ^ ids_V)
        places_V = (tracks_V - 1).astype(np.uint64)
        first_V = random_V % places_V
        # The second goes 1 to places - 1 steps on from the first, around the end.
        steps_V = np.uint64(1) + mixed(random_V) % (np.maximum(places_V, np.uint64(2)) - np.uint64(1))
        cut_V = 1 + np.where(is_second_V, (first_V + steps_V) % places_V, first_V).astype(np.int64)
    after_V = np.minimum(tracks_V - cut_V, np.maximum(room - cut_V, room // 2))
    before_V = np.minimum(cut_V, room - after_V)
    return Versions(firsts_P[playlist_V] + cut_V, before_V, after_V, cut_V + after_V == tracks_V)


def _empty_sequences(starts: LongArray) -> Sequences:
    return Sequences(np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.bool_), starts)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _piece_starts(lengths_Q: LongArray, conversation_Q: npt.NDArray[np.uint32], room: int) -> BoolArray:
    is_first_Q = np.empty(len(lengths_Q), dtype=np.bool_)
    used = 0
    for turn, length in enumerate(lengths_Q):
        is_first_Q[turn] = turn == 0 or conversation_Q[turn] != conversation_Q[turn - 1] or used + length > room
        used = length if is_first_Q[turn] else used + length
    return is_first_Q


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _put(sequences: Sequences, at: int, ids: IntArray, is_label: bool) -> int:
    """Write ids from `at` on; returns where the next go."""
    for place in range(len(ids)):
        sequences.input_ids[at + place] = ids[place]
        sequences.is_label[at + place] = is_label
    return at + len(ids)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _fill_turns(
    sequences: Sequences,
    places: TurnPlaces,
    queries: TextIds,
    responses: TextIds,
    wrapped_NW: IntArray,
    markers: Markers,
) -> None:
    for turn, place in enumerate(places.texts):
        at = places.starts[turn]
        if places.is_first[turn]:
            _put(sequences, at - len(markers.begin), markers.begin, False)
        at = _put(sequences, at, markers.user, False)
        at = _put(sequences, at, queries.ids[queries.starts[place] : queries.starts[place + 1]], False)
        at = _put(sequences, at, markers.closing, False)
        at = _put(sequences, at, markers.music, False)
        at = _put(sequences, at, wrapped_NW[places.tracks[turn]], True)
        at = _put(sequences, at, markers.closing, True)
        at = _put(sequences, at, markers.assistant, False)
        at = _put(sequences, at, responses.ids[responses.starts[place] : responses.starts[place + 1]], True)
        _put(sequences, at, markers.closing, True)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _fill_tracks(
    sequences: Sequences, versions: Versions, track_L: LongArray, wrapped_NW: IntArray, markers: Markers
) -> None:
    ids_T, is_label_T, starts = sequences
    for version, cut in enumerate(versions.cuts):
        at = _put(sequences, starts[version], markers.begin, False)
        is_label_T[at : starts[version + 1]] = True
        is_label_T[at : at + versions.before[version] * wrapped_NW.shape[1]] = False
        for position in range(cut - versions.before[version], cut + versions.after[version]):
            # `_put` with its labels costs twice the time here, where nearly all tokens of a corpus are written.
            for token in wrapped_NW[track_L[position]]:
                ids_T[at] = token
                at += 1
        if versions.has_end[version]:
            _put(sequences, at, markers.end, True)
