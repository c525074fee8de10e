"""Reading of a GenerateContentRequest as strictly as the service does: unknown fields and wrong forms are 400.

Both spellings of a field (camelCase, snake_case) and both of an enum (name, number) are read, as proto3 JSON allows.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from resources.desk.calls import Message
from resources.sample.gemini.protocol import Json, bad_argument, tokens_of

TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
MOST_OUTPUT_TOKENS = 65_536
DEFAULT_TEMPERATURE = 1.0
MIME_TYPES = ("text/plain", "application/json", "text/x.enum")
ROLES: dict[str, Literal["user", "model"]] = {"": "user", "user": "user", "model": "model"}
STRING_FORMATS = ("enum", "date-time")

# Fields by message. A kind is a scalar, `enum`, a message, `[kind]` (list), `{kind}` (map) or `any` (not looked into).
MESSAGES: dict[str, dict[str, str]] = {
    "GenerateContentRequest": {
        "model": "string",
        "contents": "[Content]",
        "systemInstruction": "Content",
        "tools": "[any]",
        "toolConfig": "any",
        "safetySettings": "[any]",
        "generationConfig": "GenerationConfig",
        "cachedContent": "string",
        "serviceTier": "any",
    },
    "CountTokensRequest": {
        "model": "string",
        "contents": "[Content]",
        "generateContentRequest": "GenerateContentRequest",
    },
    "Content": {"role": "string", "parts": "[Part]"},
    "Part": {
        "text": "string",
        "thought": "bool",
        "thoughtSignature": "string",
        "inlineData": "any",
        "fileData": "any",
        "functionCall": "any",
        "functionResponse": "any",
    },
    "GenerationConfig": {
        "candidateCount": "integer",
        "stopSequences": "[string]",
        "maxOutputTokens": "integer",
        "temperature": "number",
        "topP": "number",
        "topK": "number",
        "seed": "integer",
        "presencePenalty": "number",
        "frequencyPenalty": "number",
        "responseLogprobs": "bool",
        "logprobs": "integer",
        "enableEnhancedCivicAnswers": "bool",
        "responseModalities": "[any]",
        "responseMimeType": "string",
        "responseSchema": "Schema",
        "responseJsonSchema": "any",
        "thinkingConfig": "ThinkingConfig",
        "mediaResolution": "any",
        "speechConfig": "any",
    },
    "ThinkingConfig": {"includeThoughts": "bool", "thinkingBudget": "integer", "thinkingLevel": "any"},
    "Schema": {
        "type": "enum",
        "format": "string",
        "title": "string",
        "description": "string",
        "nullable": "bool",
        "default": "any",
        "example": "any",
        "enum": "[string]",
        "items": "Schema",
        "minItems": "integer",
        "maxItems": "integer",
        "properties": "{Schema}",
        "required": "[string]",
        "propertyOrdering": "[string]",
        "minProperties": "integer",
        "maxProperties": "integer",
        "minLength": "integer",
        "maxLength": "integer",
        "minimum": "number",
        "maximum": "number",
        "pattern": "string",
        "anyOf": "[Schema]",
    },
}


@dataclass(frozen=True)
class Asked:
    """What one request asks of the model."""

    model: str
    system: str
    messages: tuple[Message, ...]
    schema: Json | None
    temperature: float
    max_output_tokens: int

    @cached_property
    def identity(self) -> str:
        """SHA-256 of what is asked: model, texts and length. Online or in a batch, it is the same."""
        parts = [self.model, self.system, self.messages, self.max_output_tokens]
        return sha256(json.dumps(parts).encode()).hexdigest()

    @cached_property
    def input_tokens(self) -> int:
        """Tokens of everything sent that has words: instructions, messages, schema."""
        schema = json.dumps(self.schema) if self.schema else ""
        return sum(map(tokens_of, (self.system, *(message.text for message in self.messages), schema)))

    @property
    def text(self) -> str:
        """All that was said to the model."""
        return "\n".join([self.system, *(message.text for message in self.messages)])


def parsed(body: bytes) -> Any:
    """JSON of a request's body."""
    try:
        return json.loads(body or b"{}")
    except ValueError as error:
        raise bad_argument(f"Invalid JSON payload received. {error}") from error


def read_generate(model: str, body: Any) -> Asked:
    """What a GenerateContentRequest asks. Raises ApiError 400."""
    request = _message(body, "GenerateContentRequest", "")
    messages = _messages(request.get("contents") or [])
    config = request.get("generationConfig", {})
    schema = _schema_of(config)
    temperature = float(config.get("temperature", DEFAULT_TEMPERATURE))
    if not 0 <= temperature <= 2:
        raise bad_argument("* GenerateContentRequest.generation_config.temperature: must be in the range [0.0, 2.0].")
    most = int(config.get("maxOutputTokens", MOST_OUTPUT_TOKENS))
    if most < 1:
        raise bad_argument("* GenerateContentRequest.generation_config.max_output_tokens: must be positive.")
    return Asked(
        model=model,
        system=_texts(request.get("systemInstruction", {})),
        messages=messages,
        schema=schema,
        temperature=temperature,
        max_output_tokens=min(most, MOST_OUTPUT_TOKENS),
    )


def read_count(model: str, body: Any) -> Asked:
    """What a CountTokensRequest would ask."""
    request = _message(body, "CountTokensRequest", "")
    inner = request.get("generateContentRequest") or {"contents": request.get("contents")}
    return read_generate(model, inner)


def _messages(contents: list[dict[str, Any]]) -> tuple[Message, ...]:
    if not contents:
        raise bad_argument("* GenerateContentRequest.contents: contents is not specified")
    messages = []
    for place, content in enumerate(contents):
        role = ROLES.get(content.get("role", ""))
        if role is None:
            raise bad_argument("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise bad_argument(f"* GenerateContentRequest.contents[{place}].parts: contents.parts must not be empty.")
        messages.append(Message(role, _texts(content)))
    return tuple(messages)


def _texts(content: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in content.get("parts") or [])


def _schema_of(config: dict[str, Any]) -> Json | None:
    schema, json_schema = config.get("responseSchema"), config.get("responseJsonSchema")
    mime_type = config.get("responseMimeType") or MIME_TYPES[0]
    if mime_type not in MIME_TYPES:
        raise bad_argument(f"* GenerateContentRequest.generation_config.response_mime_type: allowed are {MIME_TYPES}")
    if schema is None and json_schema is None:
        return None
    if schema is not None and json_schema is not None:
        raise bad_argument("* GenerateContentRequest.generation_config: only one response schema can be set.")
    if mime_type == MIME_TYPES[0]:
        raise bad_argument("* GenerateContentRequest.generation_config.response_schema: needs a JSON mime type.")
    if schema is not None:
        _check_schema(schema, "GenerateContentRequest.generation_config.response_schema")
    elif not isinstance(json_schema, dict):
        raise bad_argument("Invalid value at 'generation_config.response_json_schema'.")
    return schema if schema is not None else json_schema


def _check_schema(schema: dict[str, Any], path: str) -> None:
    """The service's own rules beyond the fields."""
    for field, rule in _broken_rules(schema):
        raise bad_argument(f"* {path}.{field}: {rule}")
    for name, inner in schema.get("properties", {}).items():
        _check_schema(inner, f"{path}.properties[{name}]")
    if "items" in schema:
        _check_schema(schema["items"], f"{path}.items")
    for place, inner in enumerate(schema.get("anyOf", [])):
        _check_schema(inner, f"{path}.any_of[{place}]")


def _broken_rules(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Field and rule of what one level has wrong."""
    kind, values = schema.get("type", TYPES[0]), schema.get("enum")
    if kind == TYPES[0] and "anyOf" not in schema:
        yield "type", "must be specified."
    if kind == "OBJECT" and not schema.get("properties"):
        yield "properties", "should be non-empty for OBJECT type"
    if kind == "ARRAY" and "items" not in schema:
        yield "items", "missing field."
    if values is not None and kind != "STRING":
        yield "enum", "only allowed for STRING type"
    if values and "" in values:
        yield f"enum[{values.index('')}]", "cannot be empty"
    if kind == "STRING" and schema.get("format", STRING_FORMATS[0]) not in STRING_FORMATS:
        yield "format", "only 'enum' and 'date-time' are supported for STRING type"
    for place, name in enumerate(schema.get("required", [])):
        if name not in schema.get("properties", {}):
            yield f"required[{place}]", "property is not defined"


def _message(value: Any, name: str, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_argument(f"Invalid value at '{path}' (type.googleapis.com/{name}), {json.dumps(value)[:80]}")
    fields = MESSAGES[name]
    read = {}
    for written, inner in value.items():
        field = re.sub("_([a-z0-9])", lambda found: found[1].upper(), written)
        if field not in fields:
            place = f" at '{path}'" if path else ""
            raise bad_argument(f'Invalid JSON payload received. Unknown name "{written}"{place}: Cannot find field.')
        if inner is not None:
            snake = re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", field)
            read[field] = _value(inner, fields[field], f"{path}.{snake}" if path else snake)
    return read


def _value(value: Any, kind: str, path: str) -> Any:
    if kind in MESSAGES:
        return _message(value, kind, path)
    if kind[0] == "[":
        items = value if isinstance(value, list) else [value]  # proto3 JSON wants a list; the service forgives
        return [_value(item, kind[1:-1], f"{path}[{place}]") for place, item in enumerate(items)]
    if kind[0] == "{" and isinstance(value, dict):
        return {name: _value(inner, kind[1:-1], f"{path}[{name}]") for name, inner in value.items()}
    return value if kind == "any" else _scalar(value, kind, path)


def _scalar(value: Any, kind: str, path: str) -> Any:
    wrong = bad_argument(f"Invalid value at '{path}' ({kind}), {json.dumps(value)[:80]}")
    if kind == "enum":
        name = TYPES[value] if isinstance(value, int) and 0 <= value < len(TYPES) else str(value).upper()
        if name not in TYPES:
            raise wrong
        return name
    if kind in {"string", "bool"}:
        if not isinstance(value, str if kind == "string" else bool):
            raise wrong
        return value
    try:  # int64 comes as a string
        number = float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        raise wrong from None
    if number is None or (kind == "integer" and not number.is_integer()):
        raise wrong
    return int(number) if kind == "integer" else number
