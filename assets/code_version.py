"""The code version of an asset: a digest of the code that makes it, so that changed code makes its partitions out of
date.

What counts is the asset's function, every project module that it imports, directly or through others, every SELECT it
names, and every prompt that those modules name. Comments, docstrings and layout don't count, and neither does the
machinery that all assets share.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from resources.hashing import digest_of
from resources.prompt_files import NAME, prompt_file

MACHINERY = frozenset(
    {
        "assets.work",
        "assets.making",
        "assets.asking",
        "assets.reporting",
        "assets.partitions",
        "assets.code_version",
        "sql",
    }
    | {
        f"resources.{name}"
        for name in (
            "lake",
            "files",
            "tables",
            "profile",
            "model_settings",
            "desk_settings",
            "content_settings",
            "m3_settings",
            "raw",
            "hashing",
            "refusals",
        )
    }
    | {
        f"resources.desk.{name}"
        for name in ("online", "visits", "batch", "remote_jobs", "clerks", "retrying", "ledger", "prices")
    }
    | {
        f"resources.{name}"
        for name in ("workers", "ray_workers", "ray_work", "ray_cluster", "stations", "preparers", "kept", "wire")
    }
)
LENGTH = 12


def code_version(make: Callable[..., None]) -> str:
    """Twelve hex digits for the code that `make` runs."""
    trees = _functions(make)
    modules: dict[str, str] = {}
    for tree in trees:
        for name in _imports(tree):
            _collect(name, modules)
    selects = {name: _select(name) for tree in trees for name in _strings(tree) if _is_select(name)}
    return digest_of([[_dumped(tree) for tree in trees], modules, selects])[:LENGTH]


def module_version(name: str) -> str:
    """Twelve hex digits for the code of a module and of the project's modules that it imports."""
    modules: dict[str, str] = {}
    _collect(name, modules)
    return digest_of(modules)[:LENGTH]


def _functions(make: Callable[..., None]) -> list[ast.AST]:
    """The function and those of its own module that it calls, directly or through others."""
    module = ast.parse(Path(inspect.getfile(make)).read_text(encoding="utf-8"))
    defined = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    found: dict[str, ast.AST] = {}
    left = [make.__name__]
    while left:
        name = left.pop()
        if name in found:
            continue
        found[name] = defined.get(name) or ast.parse(textwrap.dedent(inspect.getsource(make)))
        left += [node.id for node in ast.walk(found[name]) if isinstance(node, ast.Name) and node.id in defined]
    return [found[name] for name in sorted(found)]


def _collect(module: str, found: dict[str, str]) -> None:
    if module in found or module in MACHINERY:
        return
    dumped, imports = _module(module)
    found[module] = dumped
    for name in imports:
        _collect(name, found)


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name}: imported by an asset's code, and not there")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    prompts = sorted(name for name in set(_strings(tree)) if _is_prompt(name))
    return _dumped(tree) + "".join(prompt_file(name).instructions for name in prompts), tuple(_imports(tree))


def _imports(tree: ast.AST) -> Iterator[str]:
    """The project's modules that the code imports, also inside functions; by themselves or from their package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("assets", "resources"):
            yield node.module
            yield from (name for name in (f"{node.module}.{alias.name}" for alias in node.names) if _is_module(name))


@cache
def _is_module(name: str) -> bool:
    package = find_spec(name.rpartition(".")[0])
    return bool(package and package.submodule_search_locations and find_spec(name))


def _dumped(tree: ast.AST) -> str:
    """The tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _strings(tree: ast.AST) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_prompt(name: str) -> bool:
    named = NAME.fullmatch(name)
    return named is not None and files("assets").joinpath(named[1], "prompts", f"{named[2]}-{named[3]}.md").is_file()


def _is_select(name: str) -> bool:
    return name.count("/") == 1 and files("sql").joinpath(f"{name}.sql").is_file()


@cache
def _select(name: str) -> str:
    return files("sql").joinpath(f"{name}.sql").read_text(encoding="utf-8")
