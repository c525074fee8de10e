"""Which transcribed segments are lyrics: a pure function of stored segments, so that other thresholds transcribe
nothing again.

A segment that a model heard is dropped as in the E4SRec study when it is more likely no speech than the profile allows
or its tokens are too unlikely: one of the two is enough. (openai-whisper skips a window only for both, which lets
through the phrases of its training data that it is sure to hear in music.) Beyond the study, a segment is dropped when
its own text is repetitive, and when it is nothing but phrases that Whisper writes where nobody sings; such drops say
nothing against the others. A chorus stays: repetition from line to line is none of a segment's own, only long runs of
one line are shortened, and how varied the words are is asked of different lines, each once (our choice; the study asks
it of the whole text).
"""

import zlib

import polars as pl

from resources.content_settings import Lyrics
from resources.transcriber import plain_lyrics

SCHEMA = {
    "track_id": pl.String,
    "text": pl.String,
    "origin": pl.String,
    "language": pl.String,
    "status": pl.String,
}
# What models leave beside the text; lyric files have nothing of it and are taken as they are.
MEASURED = ("start_s", "mean_logprob", "no_speech_probability", "compression_ratio", "temperature")
NOT_A_LETTER = r"[^\p{L}\p{M}\p{N}]+"
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
# Where no spaces part words, two characters are one (our choice): of single ones a long Thai text has few different.
WORD = rf"{UNSPACED}{{1,2}}|[[\p{{L}}\p{{M}}\p{{N}}'’]--{UNSPACED}]+"
# Segments of nothing else, one or several; lower case, words parted by one space.
PHRASES = (
    "thank you",
    "thank you very much",
    "thank you for watching",
    "thank you for watching this video",
    "thank you so much for watching",
    "thanks for watching",
    "thanks for listening",
    "please subscribe",
    "please subscribe to my channel",
    "like and subscribe",
    "don t forget to like and subscribe",
    "see you next time",
    "see you in the next video",
    "music",
    "música",
    "musique",
    "musik",
    "müzik",
    "muzyka",
    "музыка",
    "音楽",
    "音乐",
    "音樂",
    "applause",
    "music playing",
    "background music",
    "upbeat music",
    "instrumental music",
    "gracias por ver el video",
    "gracias por ver",
    "suscríbete al canal",
    "obrigado por assistir",
    "inscreva se no canal",
    "merci d avoir regardé cette vidéo",
    "merci d avoir regardé",
    "abonnez vous",
    "vielen dank",
    "vielen dank fürs zuschauen",
    "danke fürs zuschauen",
    "bis zum nächsten mal",
    "grazie per la visione",
    "grazie per aver guardato il video",
    "iscrivetevi al canale",
    "bedankt voor het kijken",
    "dziękuję za uwagę",
    "dziękuję za obejrzenie",
    "tack för att ni tittade",
    "děkuji za pozornost",
    "köszönöm hogy megnéztétek",
    "izlediğiniz için teşekkür ederim",
    "izlediğiniz için teşekkürler",
    "abone olmayı unutmayın",
    "спасибо за просмотр",
    "продолжение следует",
    "подписывайтесь на канал",
    "дякую за перегляд",
    "terima kasih telah menonton",
    "cảm ơn các bạn đã theo dõi",
    "ご視聴ありがとうございました",
    "ご視聴いただきありがとうございます",
    "チャンネル登録お願いします",
    "チャンネル登録をお願いいたします",
    "시청해주셔서 감사합니다",
    "시청해 주셔서 감사합니다",
    "구독과 좋아요 부탁드립니다",
    "谢谢观看",
    "謝謝觀看",
    "感谢观看",
    "感謝觀看",
    "شكرا على المشاهدة",
    "شكرا للمشاهدة",
    "اشتركوا في القناة",
)
# Between these phrases, but sung where they are alone.
FAREWELLS = ("and", "bye", "goodbye", "see you")
# Anywhere in a segment: the credits of subtitles.
CREDITS = (
    "amara org",
    "opensubtitles",
    "subtitles by",
    "subtitles made by",
    "captions by",
    "transcribed by",
    "transcription by",
    "subtítulos por",
    "subtítulos realizados por",
    "subtítulos creados por",
    "legendas por",
    "legendas pela",
    "sous titres par",
    "sous titres réalisés par",
    "sous titrage",
    "untertitel von",
    "untertitel der",
    "untertitel im auftrag",
    "untertitelung des",
    "sottotitoli di",
    "sottotitoli a cura",
    "sottotitoli creati",
    "ondertiteld door",
    "ondertiteling door",
    "napisy stworzone",
    "undertexter av",
    "undertexter från",
    "субтитры сделал",
    "субтитры создавал",
    "субтитры подогнал",
    "редактор субтитров",
    "字幕由",
    "字幕by",
    "字幕 by",
    "字幕志愿者",
    "字幕志願者",
    "明镜与点点栏目",
    "明鏡與點點欄目",
)


def lyrics(transcripts: pl.DataFrame, segments: pl.DataFrame, settings: Lyrics) -> pl.DataFrame:
    """Rows of content/lyrics, from rows of content/transcripts and content/segments.

    Lyric files keep their text. Of what a model heard, status is instrumental where it mostly heard no speech, and
    failed (as in the E4SRec study) where too many segments are unlikely, or too few or always the same words are left.
    """
    judged = _judged(segments.sort("track_id", "segment"), settings)
    heard = judged.group_by("track_id").agg(
        pl.col("is_measured").any(),
        (~pl.col("is_likely")).mean().alias("bad_share"),
        pl.col("no_speech_probability").fill_nan(None).mean().alias("no_speech"),
    )
    kept = judged.filter("is_kept")
    texts = _shortened(kept, settings.max_line_repeats).join(_counted(kept), on="track_id")
    least_words = pl.max_horizontal(settings.min_words, pl.col("decoded_s") / 60 * settings.min_words_per_minute)
    is_failed = (
        (pl.col("bad_share") >= settings.max_bad_share)
        | (pl.col("words").fill_null(0) < least_words)
        | (pl.col("distinct_share").fill_null(0) < settings.min_unique_share)
    )
    status = (
        pl.when(pl.col("status") != "sung")
        .then("status")
        .when(pl.col("is_measured").is_null() | (pl.col("no_speech") > settings.max_instrumental_no_speech))
        .then(pl.lit("instrumental"))
        .when(pl.col("is_measured") & is_failed)
        .then(pl.lit("failed"))
        .otherwise(pl.lit("sung"))
    )
    return (
        transcripts.join(heard, on="track_id", how="left")
        .join(texts, on="track_id", how="left")
        .with_columns(status=status)
        .with_columns(text=pl.when(pl.col("status") == "sung").then("text"))
        .sort("track_id")
        .select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    )


def _judged(segments: pl.DataFrame, settings: Lyrics) -> pl.DataFrame:
    """With `line` (its words alone), is_measured, is_likely (by the study's two statistics) and is_kept. A statistic
    that a model left out or as no number drops its segment.
    """
    line = pl.col("text").str.normalize("NFC").str.to_lowercase().str.replace_all(NOT_A_LETTER, " ").str.strip_chars()
    ratio = pl.col("compression_ratio").fill_nan(None)
    own_ratio = pl.col("text").map_elements(_compression_ratio, return_dtype=pl.Float64)
    is_likely = (pl.col("no_speech_probability").fill_nan(None) <= settings.max_no_speech) & (
        pl.col("mean_logprob").fill_nan(None) >= settings.min_mean_logprob
    )
    # The statistic is that of a window of many lines, where a chorus repeats; a loop repeats within its line.
    is_varied = (ratio <= settings.max_compression_ratio) | (
        (own_ratio <= settings.max_compression_ratio) & ratio.is_not_null()
    )
    return segments.with_columns(
        line=line,
        is_measured=pl.any_horizontal(pl.col(MEASURED).is_not_null()),
        is_likely=is_likely.fill_null(value=False),
    ).with_columns(
        is_kept=~pl.col("is_measured")
        | (pl.col("is_likely") & is_varied.fill_null(value=False) & (pl.col("line") != "") & ~_is_invented())
    )


def _is_invented() -> pl.Expr:
    """Whether a line is made of known phrases alone, or holds a credit; with marks or without, as Whisper does both."""
    phrases, farewells, credited = (
        "|".join(pl.select(_unmarked(pl.lit(pl.Series(known)))).to_series()) for known in (PHRASES, FAREWELLS, CREDITS)
    )
    only_phrases = rf"^(?:(?:{farewells}) )*(?:{phrases})(?: ?(?:{phrases})| (?:{farewells}))*$"
    line = _unmarked(pl.col("line"))
    return line.str.contains(only_phrases) | line.str.contains(credited)


def _unmarked(line: pl.Expr) -> pl.Expr:
    return line.str.normalize("NFKD").str.replace_all(r"\p{M}", "")


def _shortened(kept: pl.DataFrame, repeats: int) -> pl.DataFrame:
    """The text of each track of which a segment is kept; of a run of one line its first `repeats`."""
    run = pl.col("line").rle_id().over("track_id")
    place = pl.int_range(pl.len()).over("track_id", "run")
    return (
        kept.with_columns(run=run)
        .filter(~pl.col("is_measured") | (place < repeats))
        .group_by("track_id", maintain_order=True)
        .agg(pl.col("text").str.join("\n"))
        .with_columns(pl.col("text").map_elements(plain_lyrics, return_dtype=pl.String))
    )


def _counted(kept: pl.DataFrame) -> pl.DataFrame:
    """Of each track the number of words, and which share of the words of its different lines are different."""
    words = pl.col("words").filter(pl.col("line").is_first_distinct()).explode().drop_nulls()
    return (
        kept.with_columns(words=pl.col("text").str.to_lowercase().str.extract_all(WORD))
        .group_by("track_id")
        .agg(pl.col("words").list.len().sum(), (words.n_unique() / words.len()).alias("distinct_share"))
    )


def _compression_ratio(text: str) -> float:
    """As openai-whisper: bytes for each byte that zlib makes of them."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))
