"""Which requests the sample Gemini server turns down, as the service does."""

from typing import Any

import pytest

from resources.sample.gemini.protocol import ApiError
from resources.sample.gemini.requests import read_generate
from tests.resources.sample.gemini.calls import saying

OBJECT: dict[str, Any] = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}


def with_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A body that asks for this form."""
    return saying("hello", responseMimeType="application/json", responseSchema=schema)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "contents is not specified"),
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "user", "parts": []}]}, r"contents\[0\].parts"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role: user, model"),
        ([], "Invalid value"),
        (saying("x") | {"prompt": "y"}, 'Unknown name "prompt"'),
        (saying("x", temperatur=1), "Unknown name \"temperatur\" at 'generation_config'"),
        (saying("x", temperature="hot"), "generation_config.temperature"),
        (saying("x", temperature=3), "temperature"),
        (saying("x", maxOutputTokens=0), "max_output_tokens"),
        (saying("x", maxOutputTokens=1.5), "max_output_tokens"),
        (saying("x", responseMimeType="application/xml"), "response_mime_type"),
        (saying("x", responseSchema=OBJECT), "needs a JSON mime type"),
        (with_schema(OBJECT | {"additionalProperties": False}), 'Unknown name "additionalProperties"'),
        (with_schema(OBJECT | {"$defs": {}}), "Unknown name"),
        (with_schema({"type": "OBJECT"}), "should be non-empty"),
        (with_schema({"type": ["STRING", "NULL"]}), "response_schema.type"),
        (with_schema({"type": "ARRAY"}), "items: missing field"),
        (with_schema({"type": "INTEGER", "enum": ["1"]}), "only allowed for STRING"),
        (with_schema({"type": "STRING", "enum": ["a", ""]}), r"enum\[1\]: cannot be empty"),
        (with_schema({"type": "STRING", "format": "uri"}), "format"),
        (with_schema(OBJECT | {"required": ["b"]}), r"required\[0\]: property is not defined"),
        (with_schema({"type": "ARRAY", "items": {"type": "OBJECT"}}), r"items.properties: should be non-empty"),
        (with_schema(OBJECT) | {"contents": [{"parts": [{"txt": "x"}]}]}, r"contents\[0\].parts\[0\]"),
    ],
)
def test_request_of_the_wrong_form_is_400(body: Any, words: str) -> None:
    """The error names what is wrong and where."""
    with pytest.raises(ApiError, match=words) as caught:
        read_generate("m", body)

    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_both_spellings_of_fields_and_enums_are_one() -> None:
    """Proto3 JSON: camelCase or snake_case, names or numbers, int64 as a string."""
    camel = with_schema({"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2"})
    snake = {
        "contents": [{"parts": [{"text": "hello"}]}],
        "generation_config": {
            "response_mime_type": "application/json",
            "response_schema": {"type": 5, "items": {"type": 1}, "min_items": 2},
        },
    }

    assert read_generate("m", camel) == read_generate("m", snake)


def test_identity_is_what_is_said() -> None:
    """Another text, model or length is another request; another temperature isn't."""
    first = read_generate("m", saying("hello")).identity

    assert read_generate("m", saying("hello", temperature=0.5)).identity == first
    others = [("m", saying("hallo")), ("n", saying("hello")), ("m", saying("hello", maxOutputTokens=5))]
    assert len({first, *(read_generate(model, body).identity for model, body in others)}) == 4


def test_hand_counted_tokens() -> None:
    """Each text is rounded up by itself: 5 bytes and 8 bytes are 2 and 2 tokens."""
    body = saying("hello") | {"systemInstruction": {"parts": [{"text": "éééé"}]}}

    assert read_generate("m", body).input_tokens == 4
