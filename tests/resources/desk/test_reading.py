import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from resources.desk.prompts import MARK
from resources.desk.reading import read
from resources.language_model import Answer, Complaint, Request, request_id


class Number(BaseModel):
    """Accepts one number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: int


class Share(BaseModel):
    """Accepts any share."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: float


class Turn(BaseModel):
    """One turn of an answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str
    track_id: str | None


class Turns(BaseModel):
    """A tiny conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    turns: list[Turn] = Field(min_length=1)
    mood: str = "calm"
    track_ids: list[str] = []


NUMBER = Request("count", "1", "Count.", {}, Number)
IDS = ("3f9a0c", "77b1de", "c0ffee")
CALLED = [("Golden Ship", "The Weavers of Dawn"), ("Silver Tide", "Señor Umbra"), ("Silver Tide", "Señor Umbra")]
TRACKS = [
    {"track_id": track_id, "title": title, "artist": artist}
    for track_id, (title, artist) in zip(IDS, CALLED, strict=True)
]
TALK = Request(
    "conversation",
    "1",
    "Talk.",
    {"tracks": [*TRACKS, {"track_id": "0dd0", "title": "Iron Rain", "artist": "Nobody's Choir"}]},
    Turns,
    closed={"track_id": IDS, "track_ids": IDS, "mood": ("calm", "melancholic")},
)


def talk(track_id: str | None, **more: object) -> str:
    """An answer of one turn."""
    return json.dumps({"turns": [{"query": "something slow", "track_id": track_id}], **more})


@pytest.mark.parametrize("text", ['{"value": 3}', '\n {"value":3} \t\n'])
def test_an_answer_as_asked_is_not_repaired(text):
    """JSON alone, spaces aside."""
    assert read(NUMBER, text) == Answer(request_id(NUMBER), Number(value=3), ())


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"value": 3}\n```',
        '```\n{"value": 3}```',
        '```json\n{"value": 3}',
        'Here you are:\n```json\n{"value": 3}\n```\nIs {"value": 4} better?',
        'Here you are: {"value": 3}. Anything else?',
        'By {the rules}: {"value": 3}',
        '{"value": 3}}',
        '{"value": 3,}',
        "{'value': 3}",
        "{value: 3}",
        '{"value": 3 // of five\n}',
        '{"value": 3, # my guess\n}',
        "{“value”: 3}",
        'NaN of these: {"value": 3}',
    ],
)
def test_fence_prose_and_slips_are_repaired_and_said(text):
    """The one object that is there is read, and the answer says that it was repaired."""
    assert read(NUMBER, text) == Answer(request_id(NUMBER), Number(value=3), ("json",))


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("", "unparsable", "no JSON objects"),
        ("I can't help with that.", "unparsable", "no JSON objects"),
        ("{I can't}", "unparsable", "no JSON objects"),
        ('{"value": 3} {"value": 4}', "unparsable", "2 JSON objects"),
        ('{"value": 3}\n{"value": 4', "unparsable", "2 JSON objects"),
        ('Not {"value": 3,} but {"value": 4}', "unparsable", "2 JSON objects"),
        ('{"value": 3', "unparsable", "not closed"),
        ('{"value": "thr', "unparsable", "not closed"),
        ('{"value": 3, "value": 4}', "unparsable", "twice"),
        ('{"value": 3, "value": 4,}', "unparsable", "loss"),
        ('{"value": 3, "value": 3,}', "unparsable", "loss"),
        ("{'value': 3, value: 4}", "unparsable", "loss"),
        ('{"value": 3 4}', "unparsable", "loss"),
        ('{"value": 3 "4"}', "unparsable", "loss"),
        ('{"value": 3: 4}', "unparsable", "loss"),
        ('{"value": 3 or 4}', "unparsable", "loss"),
        ('{"value": 3 // not 4\n}', "unparsable", "loss"),
        ('{"value": 3 /* "4" */}', "unparsable", "loss"),
        ('{"value": 3, ...}', "unparsable", "loss"),
        ('{"value": <3}', "unparsable", "loss"),
        ('{"value": 3%,}', "unparsable", "loss"),
        ('{"value": NaN}', "unparsable", "NaN"),
        ('{"value": 1e309}', "unparsable", "too large"),
        ('{"value": 1e309,}', "unparsable", "too large|Infinity"),
        ('{"value": "\\ud800"}', "unparsable", "Invalid JSON"),
        ('{"value": ' + "9" * 5000 + "}", "unparsable", "limit"),
        ("[" * 5000, "unparsable", "recursion"),
        ('{"value":' * 5000 + "}" * 5000, "unparsable", "recursion"),
        ("{'value': " + "[" * 2000 + "}", "unparsable", "too long"),
        ("{'value': '" + "x" * 60_000 + "'}", "unparsable", "too long"),
        ('{"value": "3"}', "schema_violation", "^value: "),
        ('{"value": 3.0}', "schema_violation", "^value: "),
        ('{"value": true}', "schema_violation", "^value: "),
        ('{"value": null}', "schema_violation", "^value: "),
        ('{"value": 3, "more": 1}', "schema_violation", "^more: "),
        ("{}", "schema_violation", "^value: "),
        ("null", "schema_violation", "^the answer: "),
        ('[{"value": 3}]', "schema_violation", "^the answer: "),
        ("{'value': '3'}", "schema_violation", "^value: "),
    ],
)
def test_only_one_whole_object_of_the_right_form_is_an_answer(text, reason, detail):
    """Types are not converted, none of several objects is chosen, a cut one is not filled up."""
    complaint = read(NUMBER, text)
    assert isinstance(complaint, Complaint)
    assert complaint.reason == reason
    assert re.search(detail, complaint.detail)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('{"turns": [{"query": "say "this" and go", "track_id": null}]}', 'say "this" and go'),
        ('{"turns": [{"query": "it\\\'s -5.50, no. 007", "track_id": null}],}', "it's -5.50, no. 007"),
        ('{"turns": [{"query": "caf\\u00e9\\n\\ud835\\udc00 \\\\d", "track_id": null}],}', "café\n𝐀 \\d"),
        ("{'turns': [{'query': '', 'track_id': None}]}", ""),
        ('{"turns": [{"query": "None // of 5", "track_id": null}],}', "None // of 5"),
        ('{"turns": [{"query": "a\nline", "track_id": null}]}', "a\nline"),
    ],
)
def test_a_mended_text_keeps_its_words(text, query):
    """Quotes in quotes, escapes, an empty one, signs."""
    answer = read(TALK, text)
    assert isinstance(answer, Answer)
    assert (answer.value.turns[0].query, answer.repairs) == (query, ("json",))


def test_a_missing_string_is_not_made_up():
    """The library would take an empty one."""
    assert read(TALK, '{"turns": [{"query": , "track_id": null}]}').reason == "unparsable"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(['"value"', ":", ",", "1", "22", '"3"', "null", "-", "\n", "//", "'", "x"]), max_size=8)
)
def test_whatever_is_mended_nothing_is_dropped(pieces):
    """An answer of one number is that of a text with this number and no other."""
    answer = read(NUMBER, "{" + " ".join(pieces) + "}")
    if isinstance(answer, Answer):
        assert [bare for piece in pieces if (bare := piece.strip('"')).isdigit()] == [str(answer.value.value)]
        assert pieces.count('"value"') == 1


@pytest.mark.parametrize("number", ["1e309", "-1e309", "NaN", "Infinity"])
@pytest.mark.parametrize("comma", ["", ","])
def test_no_number_is_infinite(number, comma):
    """Not where floats are wanted either, and not by way of a repair."""
    complaint = read(replace(NUMBER, response_model=Share), f'{{"value": {number}{comma}}}')
    assert isinstance(complaint, Complaint)


def test_a_schema_violation_names_the_path_of_each_of_the_first_errors():
    """Through lists too."""
    complaint = read(TALK, '{"turns": [{"query": "slow", "track_id": null}, {"query": 3}], "mood": null, "x": 1}')
    assert isinstance(complaint, Complaint)
    assert [one.split(":")[0] for one in complaint.detail.split("; ")] == [
        "turns.1.query",
        "turns.1.track_id",
        "mood",
    ]


def test_copied_marks_become_spaces():
    """A model that copies marked data means its words; a face keeps its own."""
    text = json.dumps({"turns": [{"query": f"play{MARK}Golden{MARK}Ship {MARK}_{MARK}", "track_id": None}]})
    answer = read(TALK, text.replace('": [', f'":{MARK}['))
    assert isinstance(answer, Answer)
    assert answer.value.turns[0].query == f"play Golden Ship {MARK}_{MARK}"
    assert answer.repairs == ()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3f9a0c", "3f9a0c"),
        (" 3F9A0C ", "3f9a0c"),
        ("Golden Ship The Weavers of Dawn", "3f9a0c"),
        ("Golden Ship by The Weavers of Dawn", "3f9a0c"),
        ("The Weavers of Dawn - Golden Ship", "3f9a0c"),
        ("golden ship, by the weavers of down", "3f9a0c"),
        ("Golden Ship", None),
        ("Silver Tide by Señor Umbra", None),
        ("Iron Rain by Nobody's Choir", None),
        ("0dd0", None),
        ("3f9a1c", None),
        ("", None),
        ("?!", None),
    ],
    ids=str,
)
def test_a_track_is_found_by_what_is_nearly_its_id_or_title_and_artist(written, meant):
    """Inside the closed set only, one best only, and never across another number: else the track is unknown."""
    answer = read(TALK, talk(written))
    if meant:
        assert isinstance(answer, Answer)
        assert answer.value.turns[0].track_id == meant
        assert answer.repairs == (("track_id",) if written != meant else ())
    else:
        assert isinstance(answer, Complaint)
        assert answer.reason == "unknown_track"
        assert answer.detail.startswith(f'turns.0.track_id: "{written}" is none')


@pytest.mark.parametrize(("ratio", "is_found"), [(95, True), (94, False)])
def test_nearly_is_95_of_100(ratio, is_found):
    """Of two texts of 100 letters, one with some at its end replaced: the ratio is the share of letters kept."""
    wanted, written = "a" * 100, "a" * ratio + "b" * (100 - ratio)
    answer = read(replace(TALK, closed={"track_id": (wanted,)}), talk(written))
    assert isinstance(answer, Answer) == is_found


def test_lists_and_words_have_closed_sets_too():
    """Each element is looked at; a field of no tracks has a reason of its own."""
    listed = read(TALK, talk(None, track_ids=["77b1de", "The Weavers of Dawn: Golden Ship"]))
    assert isinstance(listed, Answer)
    assert listed.value.track_ids == ["77b1de", "3f9a0c"]
    assert read(TALK, talk(None, track_ids=["77b1de", "x"])) == Complaint(
        "unknown_track", 'track_ids.1: "x" is none of the values allowed for track_ids'
    )
    assert read(TALK, talk(None, mood="Melancholic")).value.mood == "melancholic"
    assert read(TALK, talk(None, mood="wild")) == Complaint(
        "outside_closed_set", 'mood: "wild" is none of the values allowed for mood'
    )


def test_a_payload_without_tracks_leaves_ids_to_compare():
    """Whatever stands under tracks."""
    for payload in ({}, {"tracks": "none"}, {"tracks": [1, {}, {"track_id": "3f9a0c"}]}):
        request = replace(TALK, payload=payload)
        assert read(request, talk("Golden Ship")).reason == "unknown_track"
        assert isinstance(read(request, talk("3F9A0C")), Answer)


def test_the_requests_check_sees_the_repaired_answer_and_has_the_last_word():
    """It gets the response model's value."""
    seen = []

    def check(value: Turns) -> Complaint | None:
        seen.append(value.turns[0].track_id)
        return Complaint("repeated_track", "turn 0")

    assert read(replace(TALK, check=check), f"Sure! {talk('3F9A0C')}") == Complaint("repeated_track", "turn 0")
    assert seen == ["3f9a0c"]


PROSE = st.text(st.characters(codec="utf-8", exclude_characters='{}`"' + MARK), max_size=30)
ANSWERS = st.builds(
    Turns,
    turns=st.lists(
        st.builds(Turn, query=st.text(st.characters(codec="utf-8", exclude_characters=MARK)), track_id=st.none()),
        min_size=1,
        max_size=3,
    ),
    mood=st.sampled_from(["calm", "melancholic"]),
    track_ids=st.lists(st.sampled_from(IDS), max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(
    ANSWERS,
    PROSE,
    PROSE,
    st.sampled_from(["{}", "```json\n{}\n```", "```\n{}```"]),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_any_answer_reads_back_from_fence_prose_and_spaces(answer, before, after, fence, indent, is_ascii):
    """Whatever words are in it."""
    text = json.dumps(answer.model_dump(), indent=indent, ensure_ascii=is_ascii)
    wrapped = f"{before}\n{fence.replace('{}', text)}\n{after}"
    result = read(TALK, wrapped)
    assert isinstance(result, Answer)
    assert result.value == answer
    assert result.repairs == (() if wrapped.strip(" \t\r\n") == text else ("json",))


@settings(max_examples=100, deadline=None)
@given(ANSWERS, st.data())
def test_a_cut_answer_is_a_complaint(answer, data):
    """Wherever it is cut, and although its finish said that it was whole."""
    text = json.dumps(answer.model_dump(), ensure_ascii=False)
    cut = data.draw(st.integers(0, len(text) - 1))
    result = read(TALK, text[:cut])
    if isinstance(result, Answer):  # a brace in the cut string may stand for the one that is missing
        assert "}" in "".join(turn.query for turn in answer.turns)
        assert Turns.model_validate_json(result.value.model_dump_json(), strict=True) == result.value


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(
                ['{"turns"', ":", "[", "]", "{", "}", '"', "'", ",", '"query"', '"track_id"', "null", "```json\n", "\\"]
            ),
            st.just("\ud800"),
        ),
        max_size=40,
    ).map("".join)
)
def test_no_text_makes_reading_fail(text):
    """It reads, or says what is wrong."""
    assert isinstance(read(TALK, text), Answer | Complaint)
