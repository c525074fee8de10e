import math
import random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets.content.lyrics import SCHEMA, lyrics
from resources.content_settings import Lyrics
from resources.transcriber import plain_lyrics

TRANSCRIPTS = {
    "track_id": pl.String,
    "origin": pl.String,
    "language": pl.String,
    "language_probability": pl.Float64,
    "decoded_s": pl.Float64,
    "status": pl.String,
}
SEGMENTS = {
    "track_id": pl.String,
    "segment": pl.Int32,
    "text": pl.String,
    "start_s": pl.Float64,
    "end_s": pl.Float64,
    "mean_logprob": pl.Float64,
    "no_speech_probability": pl.Float64,
    "compression_ratio": pl.Float64,
    "temperature": pl.Float64,
}
VERSE = [
    "early in the morning when the river runs low",
    "she is walking to the station through the snow",
    "every window on the corner has a light",
    "someone sings about a summer out of sight",
]
GOOD = {"mean_logprob": -0.4, "no_speech_probability": 0.2, "compression_ratio": 1.6, "temperature": 0.0}

Line = str | tuple[str, dict[str, float | None]]


def heard(*lines: Line, decoded_s: float | None = 30.0, **settings: Any) -> tuple[str, str | None]:
    """Status and text of one track of which a model heard these lines, each with what is special about it."""
    rows = []
    for number, line in enumerate(lines):
        text, special = line if isinstance(line, tuple) else (line, {})
        rows.append({"track_id": "t", "segment": number, "text": text, "start_s": 2.0 * number, **GOOD, **special})
    segments = pl.DataFrame(rows, schema=SEGMENTS)
    transcripts = pl.DataFrame([("t", "model", "en", 0.9, decoded_s, "sung")], schema=TRANSCRIPTS, orient="row")
    row = lyrics(transcripts, segments, Lyrics(**settings)).row(0, named=True)
    assert (row["track_id"], row["origin"], row["language"]) == ("t", "model", "en")
    return row["status"], row["text"]


def test_every_track_has_a_row() -> None:
    """All statuses of transcripts stay, with null text unless sung; rows are in order of tracks."""
    statuses = ["absent", "failed", "instrumental", "silent", "sung"]
    rows = [(status, "model", None, None, None, status) for status in reversed(statuses)]
    transcripts = pl.DataFrame(rows, schema=TRANSCRIPTS, orient="row")
    segments = pl.DataFrame([{"track_id": "sung", "segment": 0, "text": "la"}], schema=SEGMENTS)
    made = lyrics(transcripts, segments, Lyrics())
    assert made.schema == SCHEMA
    assert made["status"].to_list() == statuses
    assert made["track_id"].to_list() == statuses
    assert made["text"].to_list() == [None, None, None, None, "la"]


def test_no_tracks_are_no_lyrics() -> None:
    """Empty tables make an empty table of the same columns."""
    made = lyrics(pl.DataFrame(schema=TRANSCRIPTS), pl.DataFrame(schema=SEGMENTS), Lyrics())
    assert made.is_empty()
    assert made.schema == SCHEMA


def test_lines_are_joined_in_their_order() -> None:
    """Segments of several tracks in any order of rows make the same lyrics."""
    transcripts = pl.DataFrame(
        [(name, "model", "en", 0.9, 30.0, "sung") for name in "ab"], schema=TRANSCRIPTS, orient="row"
    )
    rows = [
        {"track_id": name, "segment": number, "text": f"{name} {text}", **GOOD}
        for name in "ab"
        for number, text in enumerate(VERSE * 3)
    ]
    segments = pl.DataFrame(rows, schema=SEGMENTS)
    made = lyrics(transcripts, segments, Lyrics())
    assert made["text"].to_list() == ["\n".join(f"{name} {text}" for text in VERSE * 3) for name in "ab"]
    assert lyrics(transcripts.reverse(), segments.sample(fraction=1, shuffle=True, seed=1), Lyrics()).equals(made)


def test_a_chorus_survives() -> None:
    """Four times the same line, in a window that is therefore repetitive as a whole."""
    chorus = [("carry me over the water", {"compression_ratio": 3.2})] * 4
    assert heard(*VERSE, *chorus) == ("sung", "\n".join([*VERSE, *["carry me over the water"] * 4]))


def test_a_stuck_line_is_shortened() -> None:
    """Of thirty in a row four stay, whatever their punctuation; the line may come back later."""
    stuck = [("Oh, no!" if number % 2 else "oh no", {"compression_ratio": 9.0}) for number in range(30)]
    status, text = heard(*VERSE, *stuck, *VERSE, "oh no")
    assert status == "sung"
    assert text == "\n".join([*VERSE, "oh no", "Oh, no!", "oh no", "Oh, no!", *VERSE, "oh no"])


def test_a_loop_within_a_line_is_dropped() -> None:
    """Its own text is repetitive; so is the window, or the line would not have been looked at."""
    loop = "and again " * 20
    assert heard(*VERSE, (loop, {"compression_ratio": 9.0}))[1] == "\n".join(VERSE)
    assert heard(*VERSE, (loop, {"compression_ratio": 2.4}))[1] == "\n".join([*VERSE, loop.strip()])


@pytest.mark.parametrize(
    "special",
    [
        {"no_speech_probability": 0.61},
        {"mean_logprob": -1.01},
        {"mean_logprob": math.nan},
        {"no_speech_probability": math.nan},
        {"compression_ratio": math.nan},
        {"mean_logprob": None},
    ],
)
def test_a_bad_segment_is_dropped(special: dict[str, float | None]) -> None:
    """No speech or unlikely tokens: one is enough; a statistic that is missing or no number is bad."""
    assert heard(*VERSE, ("made up", special)) == ("sung", "\n".join(VERSE))


def test_limits_are_still_good() -> None:
    """Values at the profile's thresholds pass."""
    limits: dict[str, float | None] = {"no_speech_probability": 0.6, "mean_logprob": -1.0, "compression_ratio": 2.4}
    assert heard(*VERSE, ("at the limit", limits))[1] == "\n".join([*VERSE, "at the limit"])


@pytest.mark.parametrize(
    "phrase",
    [
        "Thanks for watching!",
        " Thank you. ",
        "Don't forget to like and subscribe.",
        "Subtitles by the Amara.org community",
        "Untertitel im Auftrag des ZDF",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "¡Gracias por ver el vídeo!",
        "Продолжение следует...",
        "ご視聴ありがとうございました。",
        "ご視聴ありがとうございました チャンネル登録お願いします",
        "İzlediğiniz için teşekkür ederim.",
        "شكراً للمشاهدة",
        "字幕由Amara.org社区提供",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "[Music]",
        "Music",
        "Thank you. Thank you. Thank you.",
        "Thank you for watching. Please subscribe.",
        "Thanks for watching! Bye!",
        "Bye! See you next time, and thank you very much.",
        "♪ ♪",
        "!!!!!",
        "...",
    ],
)
def test_known_inventions_are_dropped(phrase: str) -> None:
    """Phrases that Whisper writes into music, credits of subtitles, and signs without a word."""
    assert heard(*VERSE, phrase) == ("sung", "\n".join(VERSE))


@pytest.mark.parametrize(
    "line", ["I want to thank you", "Thank you, stranger", "Bye, bye, bye", "musical", "la musica"]
)
def test_a_phrase_within_a_line_is_sung(line: str) -> None:
    """Only whole lines of phrases are dropped, and no farewell without a phrase."""
    assert heard(*VERSE, line)[1] == "\n".join([*VERSE, line])


def test_mostly_no_speech_is_instrumental() -> None:
    """A mean above 0.85 over all segments; a NaN among them does not count."""
    quiet: dict[str, float | None] = {"no_speech_probability": 0.9}
    nothing: dict[str, float | None] = {"no_speech_probability": math.nan}
    assert heard(*[(line, quiet) for line in VERSE]) == ("instrumental", None)
    assert heard(*[(line, quiet) for line in VERSE], ("la", nothing)) == ("instrumental", None)
    assert heard(*[(line, nothing) for line in VERSE]) == ("failed", None)


def test_no_segment_is_instrumental() -> None:
    """A model that writes nothing heard nobody."""
    assert heard() == ("instrumental", None)


@pytest.mark.parametrize("special", [{"mean_logprob": -2.0}, {"no_speech_probability": 0.7}])
def test_many_unlikely_segments_are_a_failure(special: dict[str, float | None]) -> None:
    """From 35 % on: two of six pass, three of seven do not."""
    bad = ("made up", special)
    assert heard(*VERSE, bad, bad)[0] == "sung"
    assert heard(*VERSE, bad, bad, bad) == ("failed", None)


@pytest.mark.parametrize("dropped", ["Thank you.", "...", ("and again " * 20, {"compression_ratio": 9.0})])
def test_inventions_and_loops_are_no_failure(dropped: Line) -> None:
    """Eleven of 31 dropped segments are 35 %, but what the model was sure of says nothing against the other twenty."""
    assert heard(*VERSE * 5, *[dropped] * 11) == ("sung", "\n".join(VERSE * 5))


def test_a_track_that_is_all_chorus_is_sung() -> None:
    """Two lines by turns, and one line forty times: 200 words in 200 s, of which four lines are kept."""
    first, second = "carry me over the water", "and set me down on the shore"
    assert heard(*[first, second] * 20, decoded_s=200.0) == ("sung", "\n".join([first, second] * 20))
    assert heard(*[first] * 40, decoded_s=200.0) == ("sung", "\n".join([first] * 4))


def test_few_words_are_a_failure() -> None:
    """Fewer than 15, or than 8 a minute where the length is known; the verse has 34."""
    assert heard(VERSE[0]) == ("failed", None)
    assert heard(VERSE[0], min_words=9)[0] == "sung"
    assert heard(*VERSE, decoded_s=60 * 34 / 8)[0] == "sung"
    assert heard(*VERSE, decoded_s=60 * 35 / 8) == ("failed", None)
    assert heard(*VERSE, decoded_s=None)[0] == "sung"


def test_always_the_same_words_are_a_failure() -> None:
    """One distinct word of five is less than a quarter."""
    lines = ["ring the bell", "bell the ring", "the ring bell", "ring bell the", "bell ring the", "the bell ring"]
    assert heard(*lines) == ("failed", None)
    assert heard(*lines, min_unique_share=0.1)[0] == "sung"


def test_one_word_over_and_over_within_lines_is_a_failure() -> None:
    """Lines of 4 to 8 times a word: 2 distinct words of 30, though no line is the same as another."""
    lines = [" ".join(["bell"] * times) for times in (4, 5, 6, 7)] + [" ".join(["ring"] * 8)]
    assert heard(*lines) == ("failed", None)
    assert heard(*lines, min_unique_share=2 / 30)[0] == "sung"


def test_two_characters_are_a_word_where_no_spaces_part_them() -> None:
    """Thirty characters in five lines are fifteen words, 28 are not; an odd one is a word."""
    lines = ["月亮照在河上", "我在等你回来", "风吹过了山岗", "谁在窗边唱歌"]
    assert heard(*lines, "雪落在屋顶上")[0] == "sung"
    assert heard(*lines, "雪落屋顶") == ("failed", None)
    assert heard(*lines, "雪落在屋顶")[0] == "sung"


def test_a_repeated_word_is_one_where_no_spaces_part_them() -> None:
    """Two distinct pairs of sixteen, though the four unbroken runs of letters differ."""
    assert heard("ラララララララララ", "ララララララララララ", "ラララララ", "ラララララララ") == ("failed", None)


@pytest.mark.parametrize(
    "letters", ["กขคงจฉชซญฐตถทธนบปผพฟมยรลวสหอ", "あいうえおかきくけこさしすせそたちつてとなにぬねの"]
)
def test_long_lyrics_of_few_letters_are_sung(letters: str) -> None:
    """Eighty lines of ten random characters: fewer than a quarter of the characters are different, the pairs are."""
    drawn = random.Random(7)
    lines = ["".join(drawn.choices(letters, k=10)) for _ in range(80)]
    assert heard(*lines)[0] == "sung"


def test_other_thresholds_change_the_lyrics() -> None:
    """The same stored segments, other lyrics."""
    lines: list[Line] = [*VERSE, ("far away", {"mean_logprob": -1.2})]
    assert heard(*lines)[1] != heard(*lines, min_mean_logprob=-1.5)[1]
    assert heard(*VERSE, *["la di da"] * 4, max_line_repeats=2)[1] == "\n".join([*VERSE, "la di da", "la di da"])


@given(st.text(max_size=400))
@hypothesis_settings(max_examples=50, deadline=None)
def test_lyric_files_pass_unchanged(text: str) -> None:
    """Whatever a lyric file says after its reading, however repetitive: it has no statistics to be judged by."""
    read = plain_lyrics(f"{text}\nthank you\n{'la ' * 100}")
    transcripts = pl.DataFrame([("t", "lrc", None, None, 200.0, "sung")], schema=TRANSCRIPTS, orient="row")
    segments = pl.DataFrame([{"track_id": "t", "segment": 0, "text": read}], schema=SEGMENTS)
    assert lyrics(transcripts, segments, Lyrics()).row(0) == ("t", read, "lrc", None, "sung")


def test_long_lyrics_end_with_a_whole_line() -> None:
    """At most 20,000 characters: 1,000 lines of 19 and their newlines."""
    lines = [f"number {number:04} of them" for number in range(1500)]
    text = heard(*lines, min_unique_share=0.0)[1]
    assert text is not None
    assert text.split("\n") == lines[:1000]
