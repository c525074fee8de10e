from typing import get_args

import pytest

from assets.conversations.answers import AnsweredConversation, AnsweredQueries, QueryModality
from assets.conversations.rules import (
    QUERY_REASONS,
    conversation_complaint,
    query_complaint,
    quotable,
    turn_complaints,
)
from assets.conversations.tables import RELEVANCE
from resources.prompt_files import checked_prompt

TRACK = {
    "track_id": "a",
    "title": "Copper Ship",
    "artist": "Студия Юг",
    "album": "Rock &amp; Rain",
    "tags": ["folk"],
    "lyrics_excerpt": "one lamp two lamps / three lamps on the long road down to the sea again",
}
NOTHING = quotable([])
PLAIN = "Something slow for the evening, please."
NAMED = {"a": "Here is Copper Ship for you.", "b": "Here is Tin Boat for you."}


def reasons(query: str, known=NOTHING, titles=()) -> list[str]:
    """The reasons of the complaints about a query whose response is plain."""
    return [complaint.reason for complaint in turn_complaints(query, PLAIN, titles, known)]


def conversation(*turns: tuple[str, str]) -> AnsweredConversation:
    """An answer of turns given as (query, track_id)."""
    said = {"modality": "audio", "is_rejection": False}
    rows = [said | {"query": query, "track_id": track_id, "response": NAMED[track_id]} for query, track_id in turns]
    return AnsweredConversation.model_validate({"turns": rows})


def queries(*texts: str, modality: str = "ST") -> AnsweredQueries:
    """An answer of queries of one modality."""
    return AnsweredQueries.model_validate({"queries": [{"query": text, "modality": modality} for text in texts]})


@pytest.mark.parametrize(
    "text",
    [
        "Play **something** slow for me",
        "I want *slow* music now",
        "__Slow__ music for me please",
        "# Slow music for me",
        "Please play me\n- slow music",
        "Please play me\n1. slow music",
        "See [this one](https://example.org) for me",
        "Rhythm &amp; blues for me",
        "Rhythm &#38; blues for me",
    ],
)
def test_markdown_and_entities_are_markup(text):
    """What a page would show as markup is none of our plain text."""
    assert reasons(text) == ["markup"]


@pytest.mark.parametrize(
    "text",
    [
        "Something like F**k and S**t by them",
        "Is there more by *NSYNC or the like",
        "Rock & roll from the 80s - or 90s; anything",
        "What about _____ by that band",
        "I love you <3 play it again",
        "Track #1 (live) [remastered] at 2 * 60 bpm",
        "2. Something with drums",
    ],
)
def test_stars_and_ampersands_alone_are_not_markup(text):
    """Titles and people use the same characters."""
    assert reasons(text) == []


def test_names_prove_neither_script_nor_markup():
    """An artist in another script and an album with an entity may be named: the model repeats the payload."""
    known = quotable([TRACK["artist"], TRACK["album"]])
    text = "More by Студия Юг from Rock &amp; Rain?"
    assert reasons(text, known) == []
    assert reasons(text) == ["markup"]
    assert reasons("Студия Юг?", known) == ["too_short"]


@pytest.mark.parametrize(
    "text", ["请给我放一首安静的歌", "Поставь что-нибудь спокойное, Radio", "静かな曲を Please かけてください"]
)
def test_another_script_is_refused(text):
    """A text with most letters outside Latin script is not English."""
    assert "wrong_script" in reasons(text)


def test_accents_are_latin():
    """Names with accents stay English text."""
    assert reasons("Añoranza by Čáslavská, señor, ﬁne and ＷＩＤＥ") == []


def test_a_conversation_in_another_language_is_refused():
    """Words that any English conversation is full of are missing in another language's; one foreign turn is none."""
    foreign = "Quiero algo tranquilo para esta noche con guitarra"
    assert complained(turn(0, query=foreign, response=foreign), turn(1, query=foreign)) == "wrong_language"
    assert complained(turn(0), turn(1, query=foreign), turn(3)) is None


FOREIGN = {
    "pt": ("Quero uma canção calma, por favor, para me deixar em paz", "Aqui está {} de {}, com o som que me pede"),
    "es": ("Quiero una canción tranquila, que no me haga pensar", "Aquí tienes {} de {}, con la calma que me pides"),
    "fr": ("Je voudrais une chanson calme pour le soir, on a eu une journée", "Voici {} de {}, douce comme le soir"),
    "de": ("Ich will etwas Ruhiges, was an so einem Abend passt", "Hier ist {} von {}, das war so ruhig wie der Abend"),
    "nl": ("Ik wil iets rustigs, is er iets in die stijl voor me", "Hier is {} van {}, dat is zo rustig als we het in"),
    "it": ("Vorrei una canzone calma per la sera, non so se mi va", "Ecco {} di {}, calma come la sera che questa"),
    "da": (
        "Jeg vil gerne have noget at høre, men ikke for hurtigt",
        "Her er {} af {}, det var den der så let i tiden",
    ),
}


@pytest.mark.parametrize("language", FOREIGN)
def test_neighbours_of_english_are_no_english(language):
    """A conversation and the queries of a track in another language of Western Europe, English names and all."""
    query, response = FOREIGN[language]
    turns = [
        turn(place, query=f"{query} {place}", response=response.format(POOL[place]["title"], "The Weavers of the Dawn"))
        for place in (0, 1)
    ]
    assert complained(*turns) == "wrong_language"
    bad = queries(query, response.format("", ""))
    assert query_complaint(QUERY_PAYLOAD, bad).reason == "wrong_language"


def test_keywords_are_of_any_language():
    """Queries without a sentence between them are not refused, nor those with a name in another language."""
    assert query_complaint(QUERY_PAYLOAD, queries("sad piano", "90s trip-hop")) is None
    assert query_complaint(QUERY_PAYLOAD, queries("bossa nova guitar", "Os Verdes style samba da praia")) is None


POOL = [
    TRACK | {"artist": "Mara Voss"},
    TRACK | {"track_id": "b", "title": "Tin Boat", "artist": "Old Kites", "album": "Tin Boat"},
    TRACK | {"track_id": "c", "title": "Copper Ship (Live)", "artist": "Mara Voss"},
    TRACK | {"track_id": "d", "title": "Rain", "artist": "Mara Voss"},
]
QUERIES = ["Something slow for the evening", "Now more guitars please", "One of the nineties to end with", "A last one"]


def turn(place: int, **changes) -> dict:
    """The turn about a track of the pool, as it should be."""
    track = POOL[place]
    said = {"query": QUERIES[place], "response": f"Here is {track['title']} by {track['artist']} for you."}
    return said | {"track_id": track["track_id"], "modality": "audio", "is_rejection": False} | changes


def complained(*turns: dict) -> str | None:
    """The reason of the complaint about these turns."""
    answer = AnsweredConversation.model_validate({"turns": list(turns)})
    complaint = conversation_complaint({"tracks": POOL, "turns": len(turns)}, answer)
    return complaint and complaint.reason


def test_the_pool_in_its_order_breaks_no_rule():
    """The live version follows the title that it holds, and is told by it: what was named is known."""
    assert complained(*map(turn, range(4))) is None
    assert complained(turn(0), turn(2, query="Copper Ship was lovely, so more of that"), turn(1)) is None
    assert complained(turn(2), turn(0), turn(1)) is None


@pytest.mark.parametrize(
    ("reason", "place", "changes"),
    [
        ("leaked_title", 0, {"response": "Here is Copper Ship by Mara Voss; next I will play Tin Boat."}),
        ("leaked_title", 0, {"query": "I want something slow, not Tin Boat though"}),
        ("leaked_title", 1, {"query": "More from the album Tin Boat please"}),
        ("unnamed_track", 1, {"response": "Here is Copper Ship by Mara Voss for you."}),
        ("unnamed_track", 1, {"response": "Here you go, I hope that you like it."}),
        ("repeated_text", 1, {"query": "something slow, for the evening!"}),
        ("self_talk", 1, {"response": "As an AI language model I can't hear Tin Boat."}),
        ("self_talk", 1, {"response": "Tin Boat? I'm just a chatbot, so I can't hear it."}),
        (None, 0, {"response": "Here is Copper Ship, before the rain sets in."}),
        (None, 1, {"response": "Then Tin Boat, which goes with Copper Ship."}),
        (None, 1, {"response": "Then something by Old Kites for you."}),
        (None, 1, {"query": "Copper Ship was lovely, now more guitars"}),
    ],
)
def test_a_turn_names_its_own_track_and_none_to_come(reason, place, changes):
    """Titles of later tracks are secret, single words aside; earlier ones may be named; nothing is said twice."""
    turns = [turn(number, **changes if number == place else {}) for number in (0, 1, 3)]
    assert complained(*turns) == reason


def test_at_most_half_of_the_later_turns_reject():
    """One of two may, two of three may not."""
    assert complained(turn(0), turn(1, is_rejection=True), turn(2)) is None
    rejections = [turn(place, is_rejection=place > 1) for place in range(4)]
    assert complained(*rejections) == "too_many_rejections"
    assert complained(turn(0), turn(1, is_rejection=True)) == "too_many_rejections"


def test_a_complaint_says_all_that_is_wrong_and_where():
    """The first rule decides the reason; the others are told too, so that one more answer can put all right."""
    payload = {"tracks": [TRACK], "turns": 2}
    complaint = conversation_complaint(payload, conversation(("Copper Ship!", "a"), (PLAIN, "a")))
    assert complaint.reason == "repeated_track"
    assert complaint.detail == (
        "turns.1.track_id: turns.0 recommends that track already; "
        "turns.0.query: 2 words, wanted at least 3; turns.0.query: holds the title of its track, “Copper Ship”; "
        "turns.0.query: holds the title of turns.1, “Copper Ship”; turns.1.response: turns.0 says the same"
    )


def test_lyrics_of_two_tracks_are_not_one_text():
    """A run of words that ends one track's lyrics and begins another's is quoted from neither."""
    known = quotable([], ["one two three four five six", "seven eight nine ten eleven twelve"])
    assert reasons("one two three four five six seven eight nine ten eleven", known) == []


QUERY_PAYLOAD = {"track": TRACK, "queries": 2}
FIRST, SECOND = "slow folk for the evening", "calm folk with a sea in it"
BAD_QUERIES = {
    "repeated_query": queries(FIRST, "Slow folk, for the evening!"),
    "special_token": queries(FIRST, "calm folk </s> with a sea"),
    "markup": queries(FIRST, "calm **folk** with a sea"),
    "wrong_script": queries(FIRST, "тихая народная музыка на вечер"),
    "too_long": queries(FIRST, "very " * 40 + "calm"),
    "too_short": queries(FIRST, "folk"),
    "self_talk": queries(FIRST, "as an AI I want calm folk"),
    "wrong_language": queries("calm folk", "música calma para esta noche con una guitarra"),
    "echoed_lyrics": queries(FIRST, "one lamp two lamps three lamps on the long road down"),
    "leaked_title": queries(FIRST, "the one about a copper ship"),
}


def test_every_query_rule_has_an_example():
    """No rule of the queries is left untried."""
    assert set(BAD_QUERIES) == set(QUERY_REASONS)


@pytest.mark.parametrize("reason", QUERY_REASONS)
def test_a_bad_query_is_complained_of(reason):
    """Each rule that a track's queries break gives its reason."""
    assert query_complaint(QUERY_PAYLOAD, BAD_QUERIES[reason]).reason == reason


def test_good_queries_pass():
    """Two different queries without the title break no rule; about title and artist they may hold it.

    Two words are enough for a query.
    """
    assert query_complaint(QUERY_PAYLOAD, queries(FIRST, "calm folk")) is None
    assert query_complaint(QUERY_PAYLOAD, queries(FIRST, SECOND)) is None
    assert (
        query_complaint(QUERY_PAYLOAD, queries("play Copper Ship", "Copper Ship by that band", modality="BM")) is None
    )


def test_the_modalities_are_the_papers():
    """3MToken's nine in its order name the relevance table's columns, and nine columns there are."""
    assert [name.lower() for name in get_args(QueryModality)] == RELEVANCE.empty().columns[1:]


@pytest.mark.parametrize("name", ["conversation-2", "query-1", "relevance-1"])
def test_the_prompts_show_their_answers(name):
    """Each prompt's fields are its model's, and its words show every one of them."""
    from assets.conversations import answers

    models = {
        "conversation-2": answers.AnsweredConversation,
        "query-1": answers.AnsweredQueries,
        "relevance-1": answers.AnsweredRelevance,
    }
    prompt = checked_prompt(f"conversations/{name}", models[name])
    assert all(f'"{field.rpartition(".")[2]}"' in prompt.instructions for field in prompt.fields)
