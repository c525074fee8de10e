"""The schema that Gemini is sent."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.gemini_schema import MOST_CHARACTERS, gemini_schema
from resources.sample.gemini.requests import read_generate


def an_object(**properties: Any) -> dict[str, Any]:
    """As pydantic writes it."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def test_types_are_written_in_capitals_and_unknown_words_are_left_out():
    """What the service has no field for would be 400: additionalProperties, title, minimum, pattern."""
    schema = an_object(score={"type": "integer", "minimum": 0, "maximum": 5, "title": "Score"})
    assert gemini_schema(schema) == {
        "type": "OBJECT",
        "properties": {"score": {"type": "INTEGER"}},
        "required": ["score"],
    }


@pytest.mark.parametrize(
    "schema", [{"type": ["integer", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}], ids=["list", "anyOf"]
)
def test_a_type_or_null_is_nullable(schema):
    """Both ways that JSON schema has of saying it."""
    assert gemini_schema(schema) == {"type": "INTEGER", "nullable": True}


def test_a_closed_set_of_strings_stays_and_null_in_it_does_not():
    """Null is said by `nullable`; an enum of the service holds strings only."""
    schema = {"type": ["string", "null"], "enum": ["AC", "BM", None]}
    assert gemini_schema(schema) == {"type": "STRING", "nullable": True, "format": "enum", "enum": ["AC", "BM"]}


def test_a_constant_is_a_closed_set_of_one():
    """The service has no `const`."""
    assert gemini_schema({"const": "yes"}) == {"type": "STRING", "format": "enum", "enum": ["yes"]}


@pytest.mark.parametrize(
    "values", [["a", ""], ["x" * (MOST_CHARACTERS + 1)], [1, 2]], ids=["empty", "too much", "numbers"]
)
def test_a_closed_set_that_the_service_turns_down_is_left_out(values):
    """It would be 400 and end the run; the answer is checked against it anyway."""
    kind = "integer" if values == [1, 2] else "string"
    assert gemini_schema({"type": kind, "enum": values}) == {"type": kind.upper()}


def test_required_fields_are_in_the_order_of_the_properties():
    """It is the order in which the model writes them."""
    schema = {
        "type": "object",
        "properties": {"b": {"type": "string"}, "a": {"type": "string"}},
        "required": ["a", "b"],
    }
    assert gemini_schema(schema)["required"] == ["b", "a"]


def test_required_fields_keep_their_order_at_any_depth():
    """Through lists and objects that may be null."""
    inner = an_object(query={"type": "string"}, answer={"type": "string"}, a={"type": "integer"})
    listed = {"type": "array", "items": {"anyOf": [{**inner, "required": ["a", "answer", "query"]}, {"type": "null"}]}}
    said = gemini_schema(an_object(turns=listed, about=inner))
    assert said["required"] == ["turns", "about"]
    for nested in (said["properties"]["turns"]["items"], said["properties"]["about"]):
        assert nested["required"] == ["query", "answer", "a"]


def test_bounds_of_an_array_stay():
    """As google-generativeai spells them."""
    schema = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}
    assert gemini_schema(schema) == {"type": "ARRAY", "items": {"type": "NUMBER"}, "min_items": 2, "max_items": 3}


def test_bounds_of_an_array_go_where_a_closed_set_is_inside():
    """Each item would count all its values again towards the states that the service can serve."""
    turn = an_object(track_id={"type": "string", "enum": ["t1", "t2"]})
    assert set(gemini_schema({"type": "array", "items": turn, "minItems": 2, "maxItems": 3})) == {"type", "items"}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/$defs/Turn"}, "answer: .*no type None"),
        (an_object(a={"anyOf": [{"type": "string"}, {"type": "integer"}]}), r"answer\.a: .*no union"),
        (an_object(a={"type": "array"}), r"answer\.a: .*needs items"),
        (an_object(a={"type": "array", "items": {"type": "object"}}), r"answer\.a\[\]: .*needs properties"),
        ({"type": ["string", "integer"]}, "answer: .*no type"),
    ],
)
def test_what_can_not_be_said_is_an_error_that_names_the_place(schema, message):
    """Better than 400 from the service, which does not."""
    with pytest.raises(ValueError, match=message):
        gemini_schema(schema)


SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": ["number", "null"]},
        {"type": "boolean", "description": "whether"},
        {"type": ["string", "null"], "enum": ["a", "b", None]},
    ]
)
NAMES = st.text("abc_", min_size=1, max_size=4)
SCHEMAS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.builds(lambda items: {"type": "array", "items": items, "maxItems": 4}, inner),
            st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(lambda properties: an_object(**properties)),
        ),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
).map(lambda properties: an_object(**properties))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(max_examples=60, deadline=None)
@given(SCHEMAS)
def test_every_schema_is_taken_by_the_library_and_the_service(schema):
    """The library builds its message of it, and the strict reading of the sample server finds nothing wrong."""
    from google.generativeai import GenerativeModel

    said = gemini_schema(schema)
    GenerativeModel("m", generation_config={"response_schema": said})
    config = {"response_mime_type": "application/json", "response_schema": said}
    read_generate("m", {"contents": [{"parts": [{"text": "x"}]}], "generation_config": config})
