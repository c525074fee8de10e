"""Shards: how full, how fast made, how fast read. Run as `python -m benchmarks.shards`."""

import tempfile
from bisect import bisect_left, insort
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from assets.shards.packing import pack
from assets.shards.sequences import continuation_sequences, conversation_sequences
from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.shards.writing import open_rows, write_shards
from assets.tokens.vocabulary import Vocabulary
from benchmarks.claims import Claim, median_s
from resources.talkplay_settings import MODALITIES

CONTEXT_LENGTH = 1_024
CODES = 1_024
TRACKS = 100_000
CONVERSATIONS = 30_000
PLAYLISTS = 100_000
PACKED = 2_000_000
SEPARATELY = 20_000  # tracks or sequences of the slow alternatives
BATCH = 32


def measure() -> list[Claim]:
    """Every claim about the shards; about a minute and a half."""
    words = _words()
    tokenizer = expand_tokenizer(
        train_tokenizer(_texts(words, 20_000, seed=1), vocabulary_size=8_000), Vocabulary(MODALITIES, (CODES,) * 5)
    )
    tokens = _tokens()
    return [
        *_text_claims(_texts(words, 60_000, seed=2), tokenizer),
        *_music_claims(tokens, tokenizer),
        *_packing_claims(),
        *_row_claims(_turns(words), tokens, tokenizer),
    ]


def _text_claims(texts: list[str], tokenizer: ExpandedTokenizer) -> list[Claim]:
    count = len(tokenizer.encode_texts(texts).ids) / 1e6
    ours = count / median_s(lambda: tokenizer.encode_texts(texts))
    backend = tokenizer.tokenizer.backend_tokenizer
    library = count / median_s(lambda: [ids.ids for ids in backend.encode_batch_fast(texts, add_special_tokens=False)])
    plain: Callable[..., Any] = tokenizer.tokenizer
    batch = count / median_s(lambda: plain(texts, add_special_tokens=False, return_attention_mask=False))
    return [
        _rate("text to ids, against tokenizers' encode_batch_fast", ours, library, 1.5, "M tokens/s"),
        _rate("text to ids, against transformers in one batch", ours, batch, 1.5, "M tokens/s"),
    ]


def _music_claims(tokens: pl.DataFrame, tokenizer: ExpandedTokenizer) -> list[Claim]:
    vocabulary, first_id = tokenizer.vocabulary, tokenizer.first_id
    codes_NM = tokens.select(MODALITIES).to_numpy()
    tracks = ["".join(map(vocabulary.render, part.tolist())) for part in np.split(codes_NM[:SEPARATELY], 400)]
    encode = tokenizer.tokenizer.backend_tokenizer.encode_batch_fast
    strings = SEPARATELY * 7 / 1e6 / median_s(lambda: [ids.ids for ids in encode(tracks, add_special_tokens=False)])
    many_NM = np.tile(codes_NM, (20, 1))
    ids = len(many_NM) * 7 / 1e6 / median_s(lambda: vocabulary.wrapped_ids(many_NM, first_id), rounds=5)

    positions = _playlists()
    splits = positions.select("playlist_id").unique().with_columns(split=pl.lit("train"))

    def continue_playlists() -> int:
        built = continuation_sequences(
            positions, splits, tokens, tokenizer=tokenizer, context_length=CONTEXT_LENGTH, seed=0, split="train"
        )
        return len(built.sequences.input_ids)

    whole = continue_playlists() / 1e6 / median_s(continue_playlists)
    return [
        _rate("codes to music tokens, against the string tokenizer", ids, strings, 30, "M tokens/s"),
        _rate("playlists to labelled continuations, joins and all, against the same", whole, strings, 30, "M tokens/s"),
    ]


def _packing_claims() -> list[Claim]:
    draws = np.random.default_rng(4)
    lengths_S = np.clip(draws.lognormal(5, 0.6, PACKED).astype(np.int64), 8, CONTEXT_LENGTH)

    def fill(rows: int) -> float:
        return 100 * float(lengths_S.sum()) / (rows * CONTEXT_LENGTH)

    ours = fill(pack(lengths_S, context_length=CONTEXT_LENGTH, seed=0).rows)
    next_fit = fill(_next_fit_rows(lengths_S))
    speed = PACKED / 1e6 / median_s(lambda: pack(lengths_S, context_length=CONTEXT_LENGTH, seed=0))
    few_S = lengths_S[:SEPARATELY]
    slow = SEPARATELY / 1e6 / median_s(lambda: _best_fit_rows(few_S))
    same_rows = _best_fit_rows(few_S) == pack(few_S, context_length=CONTEXT_LENGTH, seed=0).rows
    assert same_rows, "both are best-fit decreasing"
    return [
        Claim("rows full, none cut, against next fit", ours, next_fit, ours / next_fit, ">= 99.5", ours >= 99.5, "%"),
        _rate("packing, against best fit by bisection in Python", speed, slow, 5, "M sequences/s"),
    ]


def _row_claims(turns: pl.DataFrame, tokens: pl.DataFrame, tokenizer: ExpandedTokenizer) -> list[Claim]:
    """Building conversations end to end, and reading random rows of them from the copy and from Parquet itself."""

    def build(split: str) -> Any:
        chosen: Any = split
        return conversation_sequences(turns, tokens, tokenizer=tokenizer, context_length=CONTEXT_LENGTH, split=chosen)

    built = build("train")
    building = len(built.sequences.input_ids) / 1e6 / median_s(lambda: build("train"))
    encoding = _one_by_one_rate(turns, tokens, tokenizer)
    settings: dict[str, Any] = {"codebook_hash": "0", "context_length": CONTEXT_LENGTH, "seed": 0}
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "shards", Path(name) / "cache"
        manifest = write_shards(folder, kind="conversations", built={"train": built}, tokenizer=tokenizer, **settings)
        fill = 100 * manifest.splits["train"].fill
        rows = open_rows(folder, "train", cache=cache)
        draws = np.random.default_rng(5).integers(0, len(rows), (400, BATCH))
        batches = draws.size / median_s(lambda: [rows.take(batch) for batch in draws], rounds=9)
        single = draws.size / median_s(lambda: [rows[int(row)] for row in draws.ravel()], rounds=9)
        parquet = _parquet_rows(folder / "train-00000.parquet", draws.ravel()[:20] % manifest.files[0].rows)
        return [
            _rate(
                "conversations to labelled ids, against one chat template each", building, encoding, 1.5, "M tokens/s"
            ),
            Claim("the conversations' rows full", fill, 100, fill / 100, ">= 99.5", fill >= 99.5, "%"),
            _rate("random rows in batches of 32, against Parquet", batches, parquet, 20_000, "rows/s"),
            _rate("random rows one by one, against Parquet", single, parquet, 20_000, "rows/s"),
        ]


def _rate(name: str, ours: float, alternative: float, goal: float, unit: str) -> Claim:
    return Claim(name, ours, alternative, ours / alternative, f">= {goal:,}", ours >= goal, unit)


def _next_fit_rows(lengths_S: npt.NDArray[np.int64]) -> int:
    rows, room = 0, 0
    for length in lengths_S.tolist():
        if length > room:
            rows, room = rows + 1, CONTEXT_LENGTH
        room -= length
    return rows


def _best_fit_rows(lengths_S: npt.NDArray[np.int64]) -> int:
    rooms: list[int] = []
    for length in sorted(lengths_S.tolist(), reverse=True):
        place = bisect_left(rooms, length)
        room = rooms.pop(place) if place < len(rooms) else CONTEXT_LENGTH
        insort(rooms, room - length)
    return len(rooms)


def _one_by_one_rate(turns: pl.DataFrame, tokens: pl.DataFrame, tokenizer: ExpandedTokenizer) -> float:
    """M tokens/s of the plain way: each conversation rendered with its track tokens and tokenized by transformers."""
    few = turns.filter(pl.col("split") == "train").head(2_000)
    codes = dict(zip(tokens["track_id"].to_list(), tokens.select(MODALITIES).rows(), strict=True))
    counts = []

    def encode() -> None:
        count = 0
        for (_,), conversation in few.group_by("conversation_id", maintain_order=True):
            messages = []
            for query, track_id, response in conversation.select("query", "track_id", "response").iter_rows():
                music = tokenizer.vocabulary.render(codes[track_id])
                contents = (("user", query), ("music", music), ("assistant", response))
                messages += [{"role": role, "content": content} for role, content in contents]
            count += len(tokenizer.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False))
        counts.append(count / 1e6)

    seconds = median_s(encode)
    return counts[0] / seconds


def _parquet_rows(path: Path, rows_B: npt.NDArray[np.int64]) -> float:
    """Random single rows/s straight from Parquet: the row group that holds each is decoded."""

    def read() -> None:
        with pq.ParquetFile(path) as file:
            size = file.metadata.row_group(0).num_rows
            for row in rows_B.tolist():
                file.read_row_group(row // size).slice(row % size, 1)

    return len(rows_B) / median_s(read)


def _words() -> list[str]:
    """Made-up words of two to five syllables, about as many as a corpus of requests has."""
    draws = np.random.default_rng(0)
    syllables = [
        start + vowel for start in "bcdfghklmnprstvwz" for vowel in ("a", "e", "i", "o", "u", "ar", "en", "ing")
    ]
    return ["".join(draws.choice(syllables, size)) for size in draws.integers(1, 4, 20_000)]


def _texts(words: list[str], count: int, *, seed: int) -> list[str]:
    """Sentences of 5 to 30 words, the words as frequent as their rank tells (Zipf)."""
    draws = np.random.default_rng(seed)
    shares = 1 / np.arange(3, len(words) + 3)
    sizes = draws.integers(5, 31, count)
    ranks = draws.choice(len(words), size=sizes.sum(), p=shares / shares.sum())
    return [" ".join(words[rank] for rank in part) + "." for part in np.split(ranks, np.cumsum(sizes)[:-1])]


def _tokens() -> pl.DataFrame:
    codes_NM = np.random.default_rng(3).integers(0, CODES + 1, (TRACKS, len(MODALITIES)), dtype=np.int32)
    ids = {"track_id": [f"spotify:track:{number:022d}" for number in range(TRACKS)]}
    return pl.DataFrame(ids | {name: codes_NM[:, place] for place, name in enumerate(MODALITIES)}).with_columns(
        codebook_hash=pl.lit("0")
    )


def _turns(words: list[str]) -> pl.DataFrame:
    """Conversations of one to eight turns, one in a hundred in the test split."""
    draws = np.random.default_rng(6)
    sizes = draws.integers(1, 9, CONVERSATIONS)
    number = np.repeat(np.arange(CONVERSATIONS), sizes)
    turn = np.arange(len(number)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    track = draws.integers(0, TRACKS, len(number))
    return pl.DataFrame({"number": number, "turn": turn, "track": track}).select(
        conversation_id=pl.format("{}/0", "number"),
        turn=pl.col("turn").cast(pl.Int32),
        query=pl.Series(_texts(words, len(number), seed=7)),
        track_id=pl.format("spotify:track:{}", pl.col("track").cast(pl.String).str.zfill(22)),
        response=pl.Series(_texts(words, len(number), seed=8)),
        split=pl.when(pl.col("number") % 100 == 0).then(pl.lit("test")).otherwise(pl.lit("train")),
    )


def _playlists() -> pl.DataFrame:
    """Playlists of MPD's lengths: 5 to 250 tracks, 66 in the mean."""
    draws = np.random.default_rng(9)
    sizes = np.clip(draws.lognormal(3.9, 0.75, PLAYLISTS), 5, 250).astype(np.int64)
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    track = draws.integers(0, TRACKS, sizes.sum())
    return pl.DataFrame(
        {"playlist_id": np.repeat(np.arange(PLAYLISTS), sizes), "position": place, "track": track}
    ).select(
        "playlist_id",
        pl.col("position").cast(pl.Int32),
        track_id=pl.format("spotify:track:{}", pl.col("track").cast(pl.String).str.zfill(22)),
    )


if __name__ == "__main__":
    for claim in measure():
        print(
            f"{claim.name:72} {claim.ours:12,.2f} {claim.alternative:12,.2f} {claim.unit:14} {claim.ratio:9,.1f}x"
            f"  {claim.goal:10} {'holds' if claim.holds else 'FAILS'}"
        )
