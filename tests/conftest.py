"""Fixtures of the journey over the whole graph: one small world and one lake made of it, for all tests of a session."""

import fcntl
import importlib.util
import os
from collections.abc import Callable
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


LONGEST = (
    "test_journey.py",
    "test_paper.py",
    "test_paid_run.py",
    "test_kills.py",
    "test_gemini_faults.py",
    "test_providers.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of whole runs first, longest first: processes should end together, and not wait for one lake."""
    places = {Path(__file__).with_name(name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def journey() -> ModuleType:
    """The functions of journey.py."""
    return _load("journey")


@pytest.fixture(scope="session")
def world(journey: ModuleType, shared: Path) -> Path:
    """A small folder of published data."""
    return _made_once(shared / "world", journey.small_world)


@pytest.fixture(scope="session")
def filled(journey: ModuleType, world: Path, shared: Path) -> Path:
    """A lake that `make run` made of that data, with what it printed beside it. Tests change copies of it only."""

    def fill(folder: Path) -> None:
        folder.mkdir()
        (folder / "printed.txt").write_text(journey.run_alone(world, folder / "lake"))

    return _made_once(shared / "filled", fill) / "lake"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session that all its processes see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made by the first process that asks; others wait for it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder.with_suffix(".made")
        if not made.exists():
            make(folder)
            made.touch()
    return folder
