"""Prompts as versioned files: `assets/<stage>/prompts/<task>-<version>.md`, with the fields their answers must have.

A file is never edited once answers were paid for: a new wording is a new version beside it.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import BaseModel, JsonValue

from resources.language_model import response_schema

HEADED = re.compile(r"\+\+\+\n(.*?)\n\+\+\+\n(.*)", re.DOTALL)
NAME = re.compile(r"([a-z_]+)/([a-z_]+)-(\d+)")


class PromptFile(NamedTuple):
    """A task's instructions, and the dotted paths of the fields that an answer has."""

    task: str
    version: str
    fields: tuple[str, ...]
    instructions: str


@cache
def prompt_file(name: str) -> PromptFile:
    """The prompt `<stage>/<task>-<version>`. Raises ValueError for a file without its header, or with another's."""
    place = NAME.fullmatch(name)
    if not place:
        raise ValueError(f"{name!r} names no prompt: wanted <stage>/<task>-<version>, as in conversations/query-1")
    stage, task, number = place.groups()
    text = files("assets").joinpath(stage, "prompts", f"{task}-{number}.md").read_text(encoding="utf-8")
    headed = HEADED.fullmatch(text)
    header = tomllib.loads(headed[1]) if headed else {}
    if headed is None or header.keys() != {"task", "version", "fields"}:
        raise ValueError(f"prompt {name}: wanted a header between +++ lines with task, version and fields")
    if (header["task"], str(header["version"])) != (task, number):
        raise ValueError(f"prompt {name}: its header says {header['task']}-{header['version']}")
    return PromptFile(task, f"{task}-{number}", tuple(header["fields"]), headed[2].strip() + "\n")


def checked_prompt(name: str, response_model: type[BaseModel]) -> PromptFile:
    """The prompt, if its fields are those of the model that checks its answers; else raises ValueError."""
    prompt = prompt_file(name)
    wanted = set(_leaves(response_schema(response_model), response_schema(response_model), ""))
    if set(prompt.fields) != wanted:
        differing = ", ".join(sorted(wanted.symmetric_difference(prompt.fields)))
        raise ValueError(f"prompt {name} and {response_model.__name__} differ in the fields {differing}")
    return prompt


def _leaves(schema: JsonValue, root: dict[str, JsonValue], path: str) -> Iterator[str]:
    """Dotted paths of the fields that hold no further fields; a list's elements share its name."""
    assert isinstance(schema, dict)
    if "$ref" in schema:
        schemas = root["$defs"]
        assert isinstance(schemas, dict)
        yield from _leaves(schemas[str(schema["$ref"]).rpartition("/")[2]], root, path)
    elif isinstance(properties := schema.get("properties"), dict):
        for name, field in properties.items():
            yield from _leaves(field, root, f"{path}.{name}" if path else name)
    elif "items" in schema:
        yield from _leaves(schema["items"], root, path)
    else:
        yield path
