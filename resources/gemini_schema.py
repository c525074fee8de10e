"""JSON schema in the words of Gemini's `response_schema`: an OpenAPI subset, as far as google-generativeai can say it.

Bounds of numbers, patterns and lengths of strings can't be said there. Some that can are left out, because the
service turns down (400) a schema with too many states, and a turned down prompt ends a run: a closed set of too many
characters, and the bounds of an array with closed sets in it, each of which counts once for each item. The answer is
checked against all of it afterwards.
"""

from typing import Any, cast

from pydantic import JsonValue

# Our choice. Reports of schemas turned down begin at 3,600 characters: issues 2133 and 2170 of googleapis/python-genai.
MOST_CHARACTERS = 2500
TYPES = {"object", "array", "string", "integer", "number", "boolean"}


def gemini_schema(schema: dict[str, JsonValue]) -> dict[str, Any]:
    """The schema as a dict of google-generativeai, which is JSON of the REST protocol too.

    Takes the plain kind of `resources.desk.calls.Prompt`. Raises ValueError, naming the place, for what can't be said:
    unions other than with null, references, tuples, objects without named properties.
    """
    return _converted(schema, "answer")


def _converted(schema: dict[str, Any], place: str) -> dict[str, Any]:
    kind, is_nullable, schema = _kind(schema, place)
    said: dict[str, Any] = {"type": kind.upper()}
    if is_nullable:
        said["nullable"] = True
    if schema.get("description"):
        said["description"] = schema["description"]
    if kind == "string":
        said.update(_closed_set(schema))
    if kind == "array":
        said["items"] = _converted(_inner(schema, "items", place), f"{place}[]")
        bounds = () if _has_closed_set(said["items"]) else ("min", "max")
        said |= {f"{bound}_items": schema[f"{bound}Items"] for bound in bounds if f"{bound}Items" in schema}
    if kind == "object":
        properties = _inner(schema, "properties", place)
        said["properties"] = {name: _converted(inner, f"{place}.{name}") for name, inner in properties.items()}
        # The order in which the model writes them; that of the properties is lost in google-generativeai's messages.
        said["required"] = [name for name in properties if name in schema.get("required", [])]
    return said


def _kind(schema: dict[str, Any], place: str) -> tuple[str, bool, dict[str, Any]]:
    """The one type besides null, whether null is one, and the schema that says more about it."""
    options = schema.get("anyOf", [])
    if options:
        others = [option for option in options if option.get("type") != "null"]
        if len(others) != 1:
            raise ValueError(f"{place}: Gemini's schema has no union of types; wanted one type, or one and null")
        kind, _, inner = _kind(others[0], place)
        return kind, len(others) < len(options), {**schema, **inner}
    named = schema.get("type", "string" if "enum" in schema or "const" in schema else None)
    kinds = [kind for kind in (named if isinstance(named, list) else [named]) if kind != "null"]
    if len(kinds) != 1 or kinds[0] not in TYPES:
        raise ValueError(f"{place}: Gemini's schema has no type {named!r}; wanted one of {', '.join(sorted(TYPES))}")
    return cast(str, kinds[0]), isinstance(named, list) and "null" in named, schema


def _closed_set(schema: dict[str, Any]) -> dict[str, Any]:
    """The strings that are allowed, or nothing: the service takes no "" among them, nor too many."""
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    strings = [value for value in values if value is not None]
    if not all(isinstance(value, str) and value for value in strings) or sum(map(len, strings)) > MOST_CHARACTERS:
        return {}
    return {"format": "enum", "enum": strings} if strings else {}


def _has_closed_set(said: dict[str, Any]) -> bool:
    inner = [*said.get("properties", {}).values(), *([said["items"]] if "items" in said else [])]
    return "enum" in said or any(map(_has_closed_set, inner))


def _inner(schema: dict[str, Any], name: str, place: str) -> dict[str, Any]:
    if not schema.get(name):
        raise ValueError(f"{place}: Gemini's schema needs {name} of an {schema['type']}; found none")
    return cast(dict[str, Any], schema[name])
