"""Conversations and playlists as labelled sequences, and the way back from packed rows."""

from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.conversations.tables import TURNS
from assets.shards.decoding import Continuation, Message, decode_continuations, decode_conversations
from assets.shards.packing import IGNORED_LABEL, RowBlock, fill_rows, pack
from assets.shards.sequences import Built, continuation_sequences, conversation_sequences
from assets.shards.tables import REFUSED
from assets.shards.tokenizer import ExpandedTokenizer

Turn = tuple[str, str, str]  # query, track, response


def turns_frame(conversations: dict[str, list[Turn]], split: str = "train") -> pl.DataFrame:
    """conversations/turns from lists of (query, track, response)."""
    rows = [
        (name, place, 1, query, track_id, response, "audio", False, split, False)
        for name, turns in conversations.items()
        for place, (query, track_id, response) in enumerate(turns)
    ]
    return TURNS.checked(pl.DataFrame(rows, schema=TURNS.empty().schema, orient="row"))


def playlist_frames(playlists: dict[int, list[str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Positions and splits of playlists in the training split."""
    rows = [(pid, place, track) for pid, tracks in playlists.items() for place, track in enumerate(tracks)]
    positions = pl.DataFrame(
        rows, schema={"playlist_id": pl.Int64, "position": pl.Int32, "track_id": pl.String}, orient="row"
    )
    splits = {"playlist_id": list(playlists), "split": ["train"] * len(playlists)}
    return positions, pl.DataFrame(splits, schema={"playlist_id": pl.Int64, "split": pl.String})


def conversation_rows(built: Built, tokenizer: ExpandedTokenizer, context_length: int) -> RowBlock:
    """The sequences, packed."""
    packing = pack(built.sequences.lengths, context_length=context_length, seed=0)
    return fill_rows(built.sequences, packing, slice(None), context_length=context_length, pad_id=tokenizer.pad_id)


def continuations_of(
    playlists: dict[int, list[str]],
    tokens: pl.DataFrame,
    tokenizer: ExpandedTokenizer,
    *,
    context_length: int = 256,
    seed: int = 0,
) -> tuple[Built, list[Continuation]]:
    """The built sequences, and each decoded, in order."""
    positions, splits = playlist_frames(playlists)
    built = continuation_sequences(
        positions, splits, tokens, tokenizer=tokenizer, context_length=context_length, seed=seed, split="train"
    )
    starts, ids, is_label = built.sequences.starts, built.sequences.input_ids, built.sequences.is_label
    decoded = []
    for start, stop in pairwise(starts):
        part_1C = ids[None, start:stop]
        labels_1C = np.where(is_label[None, start:stop], part_1C, IGNORED_LABEL)
        positions_1C = np.arange(stop - start, dtype=np.int32)[None]
        decoded += decode_continuations(RowBlock(part_1C, labels_1C, positions_1C), tokenizer)
    return built, decoded


def codes_of(track_ids: list[str], tokens: pl.DataFrame, tokenizer: ExpandedTokenizer) -> list[tuple[int, ...]]:
    """Codes of each track."""
    by_id = {row["track_id"]: tuple(row[m] for m in tokenizer.vocabulary.modalities) for row in tokens.to_dicts()}
    return [by_id[track_id] for track_id in track_ids]


def as_tuples(codes_NM: np.ndarray) -> list[tuple[int, ...]]:
    """Rows that compare as values."""
    return [tuple(codes_M) for codes_M in codes_NM.tolist()]


turn_lists = st.lists(
    st.tuples(
        st.text(max_size=12) | st.just("<|music|><|audio-1|>"),
        st.sampled_from(["t0", "t3", "t5"]),
        st.text(max_size=12),
    ),
    min_size=1,
    max_size=4,
)


@given(data=st.dictionaries(st.sampled_from(["1/0", "1/1", "2/0", "10/0"]), turn_lists, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_packed_row_gives_back_the_conversation(
    tokenizer: ExpandedTokenizer, tokens: pl.DataFrame, data: dict[str, list[Turn]]
) -> None:
    """Decoding packed rows gives every conversation with its track tokens, whatever its texts spell."""
    built = conversation_sequences(turns_frame(data), tokens, tokenizer=tokenizer, context_length=512, split="train")
    wanted = []
    for turns in data.values():
        messages = []
        for query, track_id, response in turns:
            music = tokenizer.vocabulary.render(codes_of([track_id], tokens, tokenizer)[0])
            messages += [Message("user", query), Message("music", music), Message("assistant", response)]
        wanted.append(tuple(messages))
    block = conversation_rows(built, tokenizer, 512)
    assert Counter(map(tuple, decode_conversations(block, tokenizer))) == Counter(wanted)
    assert built.refused.is_empty()


def test_labels_of_a_conversation(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Learned are the music and the response with their closings; the query and the openings are not."""
    turns = turns_frame({"1/0": [("calm", "t1", "here")]})
    built = conversation_sequences(turns, tokens, tokenizer=tokenizer, context_length=64, split="train")
    vocabulary = tokenizer.vocabulary
    music = vocabulary.render(codes_of(["t1"], tokens, tokenizer)[0])
    parts = [
        ("<|begin_of_text|><|user|>calm<|end_of_turn|><|music|>", False),
        (f"{music}<|end_of_turn|>", True),
        ("<|assistant|>", False),
        ("here<|end_of_turn|>", True),
    ]
    ids = [(token, is_label) for text, is_label in parts for token in tokenizer.marker_ids(text).tolist()]
    assert list(zip(built.sequences.input_ids.tolist(), built.sequences.is_label.tolist(), strict=True)) == ids


def test_equals_the_chat_template(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """For texts that spell no token a sequence is what the tokenizer's chat template gives."""
    turns = turns_frame({"1/0": [(" calm\n", "t1", "here"), ("more?", "t2", "two  spaces ")]})
    built = conversation_sequences(turns, tokens, tokenizer=tokenizer, context_length=128, split="train")
    block = conversation_rows(built, tokenizer, 128)
    messages = [message._asdict() for message in decode_conversations(block, tokenizer)[0]]
    ids = tokenizer.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert ids == built.sequences.input_ids.tolist()


def test_long_conversation_splits_between_turns(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Pieces fit the context, are as few as possible, and together are the turns with nothing repeated."""
    # A turn is 2 x 3 markers, 7 music tokens, and 5 + 5 digits without merges: 23; the opening is 1.
    turns = [(f"1234{n}", "t0", f"6789{n}") for n in range(5)]
    frame = turns_frame({"1/0": turns})
    built = conversation_sequences(frame, tokens, tokenizer=tokenizer, context_length=1 + 2 * 23, split="train")
    assert built.sequences.lengths.tolist() == [47, 47, 24]
    pieces = decode_conversations(conversation_rows(built, tokenizer, 47), tokenizer)
    queries = sorted(message.content for piece in pieces for message in piece if message.role == "user")
    assert queries == [query for query, _, _ in turns]
    assert built.sources == {"conversations": 1, "turns": 5, "tracks": 1}


def test_refused_conversations(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """A turn without tokens or longer than the context refuses its whole conversation, and no other."""
    conversations = {
        "1/0": [("calm", "t0", "here"), ("calm", "unknown", "here")],
        "2/0": [("calm", "t0", "here"), ("0123456789" * 20, "t0", "here")],
        "3/0": [("calm", "t0", "here")],
    }
    built = conversation_sequences(
        turns_frame(conversations), tokens, tokenizer=tokenizer, context_length=64, split="train"
    )
    refused = REFUSED.checked(built.refused).select("location", "reason").rows()
    assert refused == [("1/0", "no_tokens"), ("2/0", "longer_than_context")]
    assert built.sources["conversations"] == 1
    assert built.refused["detail"][0].startswith("turn 1: unknown")


def test_splits_are_apart(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """A split's sequences come from its conversations and playlists only."""
    turns = pl.concat(
        [turns_frame({"1/0": [("calm", "t0", "a")]}), turns_frame({"2/0": [("loud", "t0", "b")]}, "test")]
    )
    built = conversation_sequences(turns, tokens, tokenizer=tokenizer, context_length=64, split="test")
    decoded = decode_conversations(conversation_rows(built, tokenizer, 64), tokenizer)
    assert [piece[0].content for piece in decoded] == ["loud"]
    positions, splits = playlist_frames({1: ["t0", "t1"], 2: ["t2", "t3"]})
    splits = splits.with_columns(split=pl.Series(["train", "test"]))
    continued = continuation_sequences(
        positions, splits, tokens, tokenizer=tokenizer, context_length=64, seed=0, split="test"
    )
    assert continued.sources == {"playlists": 1, "playlist_tracks": 2, "tracks": 2}


def test_continuations_are_the_playlist_cut_twice(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Prefix and continuation of both versions make up the playlist; the two cuts differ."""
    tracks = ["t0", "t1", "t2", "t3", "t0", "t5"]
    built, decoded = continuations_of(dict.fromkeys(range(40), tracks), tokens, tokenizer)
    wanted = codes_of(tracks, tokens, tokenizer)
    assert len(decoded) == 2 * 40
    cuts = [len(version.prefix) for version in decoded]
    for version in decoded:
        assert as_tuples(version.prefix) + as_tuples(version.following) == wanted
    assert all(first != second for first, second in zip(cuts[::2], cuts[1::2], strict=True))
    assert set(cuts) == {1, 2, 3, 4, 5}
    assert built.sequences.lengths.tolist() == [1 + 7 * 6 + 1] * 80


def test_labels_of_a_continuation(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Learned is what follows the cut, with the end of the playlist; the prefix is given. Two tracks have one cut."""
    built, _ = continuations_of({1: ["t0", "t1"]}, tokens, tokenizer)
    assert built.sequences.is_label.tolist() == [False] * (1 + 7) + [True] * (7 + 1)
    assert built.sequences.input_ids[-1] == tokenizer.marker_ids("<|end_of_text|>")[0]


@given(tracks=st.integers(2, 40), context_length=st.integers(16, 120), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_truncated_continuations(
    tokenizer: ExpandedTokenizer, tokens: pl.DataFrame, tracks: int, context_length: int, seed: int
) -> None:
    """Too long a playlist keeps the tracks nearest the cut, as many as fit, and each part at least half the room."""
    track_ids = [f"t{n * n % 6}" for n in range(tracks)]
    wanted, room = codes_of(track_ids, tokens, tokenizer), (context_length - 2) // 7
    whole = continuations_of({7: track_ids}, tokens, tokenizer, context_length=1024, seed=seed)[1]
    built, cut = continuations_of({7: track_ids}, tokens, tokenizer, context_length=context_length, seed=seed)
    end = tokenizer.marker_ids("<|end_of_text|>")[0]
    for number, (full, part) in enumerate(zip(whole, cut, strict=True)):
        before, after, place = len(part.prefix), len(part.following), len(full.prefix)
        assert as_tuples(part.prefix) + as_tuples(part.following) == wanted[place - before : place + after]
        assert before + after == min(tracks, room)
        assert before >= min(place, room // 2)
        assert after >= min(tracks - place, room // 2)
        has_end = built.sequences.input_ids[built.sequences.starts[number + 1] - 1] == end
        assert has_end == (place + after == tracks)


def test_refused_playlists(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Positions without tokens are refused and left out; what then has fewer than two tracks is refused."""
    built, decoded = continuations_of({1: ["t0", "unknown", "t1"], 2: ["t0"], 3: []}, tokens, tokenizer)
    refused = REFUSED.checked(built.refused).sort("location").select("location", "reason").rows()
    assert refused == [("1/1", "no_tokens"), ("2", "too_short"), ("3", "too_short")]
    assert as_tuples(decoded[0].prefix) + as_tuples(decoded[0].following) == codes_of(["t0", "t1"], tokens, tokenizer)
    assert built.sources == {"playlists": 1, "playlist_tracks": 2, "tracks": 2}


def test_row_order_does_not_matter(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Frames in another order give the same sequences, bit by bit."""
    playlists = {pid: [f"t{n * pid % 6}" for n in range(pid + 2)] for pid in range(8)}
    positions, splits = playlist_frames(playlists)
    turns = turns_frame({f"{n}/0": [(f"calm {n}", "t0", "a"), ("more", "t1", "b")] for n in range(12)})
    results = []
    for order in (1, -1):
        a, b, c, d = (frame[::order] for frame in (positions, splits, turns, tokens))
        continued = continuation_sequences(a, b, d, tokenizer=tokenizer, context_length=64, seed=3, split="train")
        conversed = conversation_sequences(c, d, tokenizer=tokenizer, context_length=64, split="train")
        results.append([array.tolist() for array in (*continued.sequences, *conversed.sequences)])
    assert results[0] == results[1]


def test_cuts_depend_on_the_seed_and_the_playlist_alone(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Another seed cuts elsewhere; other playlists beside it move no cut."""
    tracks = ["t0"] * 30
    alone = continuations_of({5: tracks}, tokens, tokenizer)[1]
    among = continuations_of(dict.fromkeys(range(9), tracks), tokens, tokenizer)[1][10:12]
    other = continuations_of({5: tracks}, tokens, tokenizer, seed=1)[1]
    assert [len(v.prefix) for v in alone] == [len(v.prefix) for v in among] != [len(v.prefix) for v in other]


def test_nothing_in_nothing_out(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Empty inputs give no sequences and no refusals."""
    conversed = conversation_sequences(TURNS.empty(), tokens, tokenizer=tokenizer, context_length=64, split="train")
    continued, _ = continuations_of({}, tokens, tokenizer)
    for built in (conversed, continued):
        assert built.sequences.starts.tolist() == [0]
        assert REFUSED.checked(built.refused).is_empty()
        assert set(built.sources.values()) == {0}


def test_two_codebooks_are_refused(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """Tokens of two codebook versions can't be mixed."""
    mixed = tokens.with_columns(codebook_hash=pl.Series(["a", "b", "b", "b", "b", "b"]))
    with pytest.raises(ValueError, match="tokens of 2 codebooks: a, b"):
        continuations_of({1: ["t0", "t1"]}, mixed, tokenizer)


def test_context_too_short(tokenizer: ExpandedTokenizer, tokens: pl.DataFrame) -> None:
    """A context that can't hold a cut between two tracks is an error that says what would."""
    with pytest.raises(ValueError, match="context_length is 15; wanted at least 16: two tracks"):
        continuations_of({1: ["t0", "t1"]}, tokens, tokenizer, context_length=15)
