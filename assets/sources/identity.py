"""What makes two names one: normal forms of artists and titles, the key of a logged track, and the place of an id.

A live, remixed, acoustic or covered version is another recording, so the words that say so are kept apart from the
title; a remastered, explicit or bonus release is the same one. No fuzziness here: that is `catalog.linking`.
"""

import re
import unicodedata
from hashlib import blake2b
from typing import NamedTuple

import polars as pl

APOSTROPHES = str.maketrans(dict.fromkeys("'’‘ʼ`´＇"))
# Letters that no Unicode decomposition takes apart.
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})
# Diacritics of Latin, Greek and Cyrillic; the marks of other scripts are letters in all but name.
ACCENTS = re.compile("[\u0300-\u036f]")
ASCII_GAPS = bytes(code if chr(code).isalnum() else ord(" ") for code in range(256))
BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
DASH = re.compile(r"\s+[-–—]+\s+")
GUESTS = re.compile(r" (?:feat\.?|ft\.|featuring)\s.*?(?=\s[-–—]+\s|$)")
# Without these, none of the patterns above finds anything.
GUEST_STARTS = (" fea", " ft")
PART_MARKS = frozenset("([{-–—")
GUEST_PARTS = ("feat ", "ft ", "featuring ", "with ")
FIELD_GAP = "\x1f"
YEAR = re.compile(r"(?:19|20)\d\d$")

REMASTERED = {"remaster", "remastered", "remastering", "remasterise", "remasterised", "remasterizado"}
SAME_RECORDING = REMASTERED | {
    *("album", "audio", "bonus", "clean", "deluxe", "digital", "digitally", "edition", "explicit", "lp", "official"),
    *("original", "track", "version", "video"),
}
OTHER_RECORDING = {
    *("acapella", "acoustic", "alternate", "alternative", "bbc", "bootleg", "cappella", "concert", "cover", "covered"),
    *("demo", "dub", "edit", "edited", "extended", "instrumental", "karaoke", "live", "mashup", "medley", "mix"),
    *("mono", "nightcore", "orchestral", "piano", "radio", "rehearsal", "remake", "remix", "remixed", "reprise"),
    *("rerecorded", "reverb", "rework", "reworked", "rmx", "session", "sessions", "single", "slowed", "stereo"),
    *("take", "tribute", "unplugged", "unreleased", "version", "vip"),
}


class TitleForm(NamedTuple):
    """A title without guests and release notes, and the words that make it another version, if any."""

    title: str
    version: str


def normalised(text: str) -> str:
    """Words in lower case without accents and punctuation, one space apart; `&` is `and`.

    A text of symbols only stays as it is but for case and spaces, so that no two of them become one.
    """
    return _joined(_folded(text))


def artist_form(artist: str) -> str:
    """The artist normalised, without guests and a leading `the`."""
    folded = _folded(artist)
    if _may_have_guests(folded):
        folded = GUESTS.sub("", folded)
    return _joined(folded).removeprefix("the ")


def title_form(title: str) -> TitleForm:
    """The title normalised, its version told apart.

    >>> title_form("Song (Remastered 2009) [feat. Someone] - Live at the Hall")
    TitleForm(title='song', version='live at the hall')
    """
    folded = _folded(title)
    if PART_MARKS.isdisjoint(folded) and not _may_have_guests(folded):
        return TitleForm(_joined(folded), "")
    versions: list[str] = []

    def kept(part: str) -> str:
        words = _words(part)
        if f"{words} ".startswith(GUEST_PARTS):
            return ""
        version = _version(words)
        if version is None:
            return words
        versions.append(version)
        return ""

    outside = BRACKETS.sub(lambda found: f" {kept(found[1])} ", folded)
    head, *tails = DASH.split(GUESTS.sub("", outside.rstrip()))
    words = " ".join(filter(None, [_words(head), *(kept(tail) for tail in tails)]))
    if not words:
        return TitleForm(_joined(folded), "")
    return TitleForm(words, " ".join(sorted(filter(None, versions))))


def track_key(artist: str, title: str) -> str:
    """The key of a logged track without a MusicBrainz id: `name:` and 32 hex digits of its normal form."""
    form = FIELD_GAP.join((artist_form(artist), *title_form(title)))
    return f"name:{blake2b(form.encode(), digest_size=16).hexdigest()}"


def bucket_of(id_: str, count: int) -> int:
    """The place 0..count-1 of an id; the same on every machine and in every version."""
    return int.from_bytes(blake2b(id_.encode(), digest_size=8).digest(), "little") % count


def buckets_of(ids: pl.Series, count: int) -> pl.Series:
    """`bucket_of` of each id, computed once for each distinct one; int32."""
    distinct = ids.unique()
    places = pl.Series([bucket_of(id_, count) for id_ in distinct], dtype=pl.Int32)
    return ids.replace_strict(distinct, places, return_dtype=pl.Int32).cast(pl.Int32)


def _folded(text: str) -> str:
    """Lower case without accents; punctuation stays."""
    if text.isascii():
        return text.replace("'", "").replace("`", "").lower().replace("&", " and ")
    text = text.translate(APOSTROPHES)
    for _ in range(2):  # a folded letter may decompose further, and a decomposed one fold
        text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKC", ACCENTS.sub("", text).translate(LETTERS))
    return text.translate(APOSTROPHES).lower().replace("&", " and ")


def _may_have_guests(folded: str) -> bool:
    return GUEST_STARTS[0] in folded or GUEST_STARTS[1] in folded


def _joined(folded: str) -> str:
    """The words, or the text as it is where it has none."""
    return _words(folded) or " ".join(folded.split())


def _words(folded: str) -> str:
    if folded.isascii():
        return b" ".join(folded.encode().translate(ASCII_GAPS).split()).decode()
    letters = (char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in folded)
    return " ".join("".join(letters).split())


def _version(words: str) -> str | None:
    """What a part of a title says about the recording: None nothing, "" the same one, else which other one."""
    parts = words.split()
    is_remastered = not REMASTERED.isdisjoint(parts)
    rest = [part for part in parts if part not in SAME_RECORDING and not (is_remastered and YEAR.match(part))]
    if not rest or parts == ["original", "mix"]:
        return ""
    return " ".join(rest) if not OTHER_RECORDING.isdisjoint(parts) else None
