"""Fixtures of the journey over the whole graph: one small world and one lake made of it, for all tests of a session."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of whole runs first: they take longest, and two processes should end together."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(scope="session")
def journey() -> ModuleType:
    """The functions of journey.py."""
    return _load("journey")


@pytest.fixture(scope="session")
def world(journey: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of published data."""
    return journey.small_world(tmp_path_factory.mktemp("raw") / "world")


@pytest.fixture(scope="session")
def filled(journey: ModuleType, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that `make run` made of that data."""
    lake = tmp_path_factory.mktemp("lake") / "lake"
    (lake.parent / "printed.txt").write_text(journey.run(world, lake))
    return lake
