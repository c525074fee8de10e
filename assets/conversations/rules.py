"""The rules that a conversation and a track's queries keep, beyond their form; people's turns are measured by them too.

Each rule that is broken gives a complaint: its reason, and where (as the desk's reader says it: turns.2.query) and
what, in words that a model can act on. Nothing but a request's payload and the answer decides. A title leaks in its
own query, and in all that is said before; what earlier turns have named is known, and may be named again.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, cast

from pydantic import JsonValue

from assets.conversations.answers import AnsweredConversation, AnsweredQueries, AnsweredTurn
from assets.conversations.language import is_english
from resources.language_model import Complaint
from resources.outside_text import has_special_token
from resources.title_leaks import names_title, proper_words, title_leaks, words

TEXT_REASONS = (
    *("special_token", "markup", "wrong_script", "too_long", "too_short", "echoed_lyrics", "self_talk", "leaked_title"),
)
CONVERSATION_REASONS = (
    *("repeated_track", "rejected_nothing", "too_many_rejections", *TEXT_REASONS, "unnamed_track", "repeated_text"),
    "wrong_language",
)
QUERY_REASONS = ("repeated_query", *TEXT_REASONS, "wrong_language")

TURN_WORDS = 3  # at least
QUERY_WORDS = 2  # "sad piano"
MAX_CHARACTERS = 600
QUERY_CHARACTERS = 200
LYRICS_WORDS = 10  # more of them in a row are a quotation that we may not publish
LATIN_SHARE = 0.5  # at least, of the letters outside names
REJECTED_SHARE = 0.5  # at most, of the turns after the first (our choice)
LATER_TITLE_WORDS = 2  # at least, of a later title that must not be said: one word is met too easily
COMPLAINTS = 5  # told at once: the first decides the reason, the others save asking again
NOT_LATIN = re.compile(r"[^\W\d_a-zA-ZªºÀ-ɏ]")  # a letter that may be of another script
# Markdown and entities; tags and fences are special tokens already. A text may begin with a number, a line may not.
MARKUP = re.compile(
    r"(?<![\w*])\*{1,3}\w(?:[^*\n]*[^*\s])?\*{1,3}(?!\w)|(?<!\w)__?\w[^_\n]*[^_\s]__?(?!\w)"
    r"|^[ \t]*(?:#{1,6}|[-*+•]|(?<=\n)\d{1,2}[.)])\s+\S|\]\((?:https?:|www\.|[/#])|&(?:[a-zA-Z]{2,8}|#x?[0-9a-fA-F]+);",
    re.MULTILINE,
)


SELF_TALK = re.compile(
    r"\b(?:as|i am|i'm)(?: just| only)? an? (?:ai|(?:large |ai )?language model|artificial intelligence|chatbot)\b",
    re.IGNORECASE,
)


class Named(NamedTuple):
    """What a track may be named by."""

    title: str
    artist: str


class Quotable(NamedTuple):
    """What texts may quote: names, that prove neither script nor markup, and lyrics, folded, of which only a little."""

    names: tuple[str, ...]
    lyrics: str


def quotable(names: Iterable[str | None], lyrics: Iterable[str | None] = ()) -> Quotable:
    """The names and lyrics that there are, longest name first."""
    # The mark keeps a run of words from reaching from one track's lyrics into the next one's.
    folded = "|".join(_folded(text) for text in lyrics if text)
    return Quotable(tuple(sorted({name for name in names if name}, key=lambda name: (-len(name), name))), folded)


def conversation_complaint(payload: Mapping[str, JsonValue], answer: AnsweredConversation) -> Complaint | None:
    """What is wrong with a conversation for this payload of the task `conversation`."""
    tracks = cast("list[dict[str, JsonValue]]", payload["tracks"])
    names = {str(track["track_id"]): Named(str(track["title"]), str(track["artist"])) for track in tracks}
    return _joined(_conversation_complaints(answer.turns, names, _quotable(tracks)))


def query_complaint(payload: Mapping[str, JsonValue], answer: AnsweredQueries) -> Complaint | None:
    """What is wrong with a track's queries for this payload of the task `query`."""
    track = cast("dict[str, JsonValue]", payload["track"])
    return _joined(_query_complaints(answer, str(track["title"]), _quotable([track])))


def turn_complaints(
    query: str, response: str | None, titles: Iterable[str], known: Quotable, *, told: Sequence[str] = ()
) -> Iterator[Complaint]:
    """What is wrong with the texts of one turn, whose query must not hold any of the titles but in a name told before.

    People may answer with tracks alone: no response.
    """
    texts = {"query": query} if response is None else {"query": query, "response": response}
    for part, text in texts.items():
        for reason, detail in _text_complaints(text, known, least=TURN_WORDS, most=MAX_CHARACTERS):
            yield Complaint(reason, f"{part}: {detail}")
    for title in titles:
        if title_leaks(title, query, told=told):
            yield Complaint("leaked_title", f"query: holds the title of its track, “{title}”")


def _quotable(tracks: Sequence[Mapping[str, JsonValue]]) -> Quotable:
    names = [cast("str | None", track[name]) for track in tracks for name in ("title", "artist", "album")]
    return quotable(names, [cast("str | None", track["lyrics_excerpt"]) for track in tracks])


def _joined(complaints: Iterator[Complaint]) -> Complaint | None:
    told = list(islice(complaints, COMPLAINTS))
    return Complaint(told[0].reason, "; ".join(complaint.detail for complaint in told)) if told else None


def _conversation_complaints(
    turns: Sequence[AnsweredTurn], names: Mapping[str, Named], known: Quotable
) -> Iterator[Complaint]:
    place_of: dict[str, int] = {}
    for place, turn in enumerate(turns):
        first = place_of.setdefault(turn.track_id, place)
        if first != place:
            yield Complaint("repeated_track", f"turns.{place}.track_id: turns.{first} recommends that track already")
    if turns[0].is_rejection:
        yield Complaint("rejected_nothing", "turns.0.is_rejection: no track was recommended before it")
    rejections, later = sum(turn.is_rejection for turn in turns[1:]), len(turns) - 1
    if rejections > REJECTED_SHARE * later:
        yield Complaint("too_many_rejections", f"turns: {rejections} of {later} later ones reject, wanted half at most")
    named = [names[turn.track_id] for turn in turns]
    for place, turn in enumerate(turns):
        told = [name for track in named[:place] for name in track]
        for reason, detail in turn_complaints(turn.query, turn.response, [named[place].title], known, told=told):
            yield Complaint(reason, f"turns.{place}.{detail}")
    if not _is_english([text for turn in turns for text in (turn.query, turn.response)], known, is_talk=True):
        yield Complaint("wrong_language", "turns: not written in English")
    for place, turn in enumerate(turns):
        yield from _naming_complaints(turn, place, named)
    yield from _repetitions(turns)


def _naming_complaints(turn: AnsweredTurn, place: int, named: Sequence[Named]) -> Iterator[Complaint]:
    """What is wrong with the tracks that a turn names: its own is missing, or a later one is there."""
    own = named[place]
    if not any(names_title(name, turn.response) for name in own):
        yield Complaint("unnamed_track", f"turns.{place}.response: names neither “{own.title}” nor “{own.artist}”")
    before = [*(name for track in named[:place] for name in track), own.artist]
    for part, text, told in (("query", turn.query, before), ("response", turn.response, [*before, own.title])):
        for later, track in enumerate(named[place + 1 :], start=place + 1):
            is_telling = len(proper_words(track.title)) >= LATER_TITLE_WORDS
            if is_telling and title_leaks(track.title, text, told=told):
                detail = f"turns.{place}.{part}: holds the title of turns.{later}, “{track.title}”"
                yield Complaint("leaked_title", detail)


def _repetitions(turns: Sequence[AnsweredTurn]) -> Iterator[Complaint]:
    for part in ("query", "response"):
        place_of: dict[str, int] = {}
        for place, turn in enumerate(turns):
            first = place_of.setdefault(" ".join(words(getattr(turn, part))), place)
            if first != place:
                yield Complaint("repeated_text", f"turns.{place}.{part}: turns.{first} says the same")


def _query_complaints(answer: AnsweredQueries, title: str, known: Quotable) -> Iterator[Complaint]:
    queries = answer.queries
    alike = Counter(" ".join(words(query.query)) for query in queries)
    for text, count in alike.items():
        if count > 1:
            yield Complaint("repeated_query", f"queries: {count} say the same, “{text}”")
    for place, query in enumerate(queries):
        for reason, detail in _text_complaints(query.query, known, least=QUERY_WORDS, most=QUERY_CHARACTERS):
            yield Complaint(reason, f"queries.{place}.query: {detail}")
        if query.modality != "BM" and title_leaks(title, query.query):
            yield Complaint("leaked_title", f"queries.{place}.query: holds the title, “{title}”, and is not BM")
    if not _is_english([query.query for query in queries], known, is_talk=False):
        yield Complaint("wrong_language", "queries: not written in English")


def _text_complaints(text: str, known: Quotable, *, least: int, most: int) -> Iterator[Complaint]:
    spoken = words(text)
    if has_special_token(text):
        yield Complaint("special_token", "holds a tag, a code fence, a control token or a hidden character")
    if MARKUP.search(text) and MARKUP.search(_without(known.names, text)):
        yield Complaint("markup", "holds Markdown or HTML, wanted plain text")
    if NOT_LATIN.search(text) and _is_foreign(_without(known.names, text)):
        yield Complaint("wrong_script", "is not written in Latin letters, wanted English")
    if len(text) > most:
        yield Complaint("too_long", f"{len(text)} characters, wanted at most {most}")
    if len(spoken) < least:
        yield Complaint("too_short", f"{len(spoken)} words, wanted at least {least}")
    if _echoes(spoken, known.lyrics):
        yield Complaint("echoed_lyrics", f"quotes more than {LYRICS_WORDS} words of lyrics in a row")
    if SELF_TALK.search(text):
        yield Complaint("self_talk", "speaks of being a program, wanted talk about music")


def _is_english(texts: Iterable[str], known: Quotable, *, is_talk: bool) -> bool:
    """Whether the texts are English but for names of several words, which prove nothing."""
    spoken = f" {' '.join(words(' '.join(texts)))} "
    for name in known.names:
        if " " in name:
            spoken = spoken.replace(f" {' '.join(words(name))} ", " ")
    return is_english(spoken.split(), is_talk=is_talk)


def _without(names: Iterable[str], text: str) -> str:
    for name in names:
        text = text.replace(name, " ")
    return text


def _is_foreign(text: str) -> bool:
    letters = [letter for letter in unicodedata.normalize("NFKC", text) if letter.isalpha()]
    return sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters) < LATIN_SHARE * len(letters)


def _echoes(spoken: list[str], lyrics: str) -> bool:
    """Whether more than LYRICS_WORDS words stand in the same order in the lyrics."""
    quoted = LYRICS_WORDS + 1
    half = (quoted + 1) // 2
    # Every run of that length holds one of the aligned halves: three look-ups rule out nearly every text.
    if not any(_held(spoken[start : start + half], lyrics) for start in range(0, len(spoken) - half + 1, half)):
        return False
    return any(_held(spoken[start : start + quoted], lyrics) for start in range(len(spoken) - quoted + 1))


def _held(run: list[str], lyrics: str) -> bool:
    return f" {' '.join(run)} " in lyrics


@lru_cache(maxsize=4096)
def _folded(lyrics: str) -> str:
    return f" {' '.join(words(lyrics))} "
