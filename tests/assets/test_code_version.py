"""A code version changes with the code that makes an asset, and with nothing else."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from assets.code_version import code_version, module_version

PLAIN = '''
def make(work):
    """Words."""
    return larger(work) + 1


def larger(work):
    return work * 2


def another(work):
    return work * 3
'''


@pytest.fixture
def version(tmp_path: Path) -> Callable[[str], str]:
    """The code version of `make` in a module of the given text."""

    def version_of(text: str) -> str:
        path = tmp_path / f"module_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return code_version(module.make)

    return version_of


def test_words_and_layout_do_not_count(version: Callable[[str], str]) -> None:
    """Another docstring, a comment and blank lines leave the version as it was."""
    reworded = PLAIN.replace('"""Words."""', '"""Other words."""\n\n    # a comment')
    assert version(PLAIN) == version(reworded)


def test_the_function_counts(version: Callable[[str], str]) -> None:
    """A changed number in the function changes the version."""
    assert version(PLAIN) != version(PLAIN.replace("+ 1", "+ 2"))


def test_functions_beside_it_count_if_it_calls_them(version: Callable[[str], str]) -> None:
    """A changed function of the same module counts where it is called, and not where it is not."""
    assert version(PLAIN) != version(PLAIN.replace("work * 2", "work * 5"))
    assert version(PLAIN) == version(PLAIN.replace("work * 3", "work * 5"))


def test_imported_modules_count(version: Callable[[str], str]) -> None:
    """Importing one of the project's modules in the function counts; importing the shared machinery does not."""
    importing = PLAIN.replace("    return larger(work) + 1", "    from {} import x\n    return larger(work) + 1")
    assert len({version(PLAIN), version(importing.format("assets.tokens.vocabulary"))}) == 2
    assert version(importing.format("assets.tokens.vocabulary")) != version(importing.format("assets.shards.packing"))


def test_a_module_imported_from_its_package_counts(version: Callable[[str], str]) -> None:
    """`from package import module` imports the module's code, not the package's alone."""
    importing = PLAIN.replace(
        "    return larger(work) + 1", "    from assets.tokens import {}\n    return larger(work) + 1"
    )
    assert version(importing.format("vocabulary")) != version(importing.format("nearest"))


def test_one_provider_does_not_count_another() -> None:
    """What a model made is kept under its own code's version: another model's code is no part of it."""
    from assets import code_version as module

    collected: dict[str, str] = {}
    module._collect("resources.musicfm_encoder", collected)
    assert {"resources.musicfm_encoder", "resources.networks.musicfm", "resources.batching"} <= set(collected)
    assert not [name for name in collected if "clap" in name or "whisper" in name or "nv_embed" in name]
    assert module_version("resources.musicfm_encoder") != module_version("resources.clap_encoder")


def test_named_selects_count(version: Callable[[str], str]) -> None:
    """The text of a SELECT that the function names is part of the version, a name without a file is a plain string."""
    naming = PLAIN.replace("+ 1", "+ len('{}')")
    one, other = "catalog/mpd_tracks", "catalog/dataset_table"
    assert version(naming.format(one)) != version(naming.format(other))


def test_changed_text_of_a_module_changes_the_version(
    version: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts of an imported module is its code, also of modules that it imports itself."""
    importing = PLAIN.replace("+ 1", "+ 1 if work else __import__('os')").replace(
        "    return larger(work)", "    from assets.tokens.codebooks import fit_codebook\n    return larger(work)"
    )
    before = version(importing)
    from assets import code_version as module

    original = module._module

    def changed(name: str) -> tuple[str, tuple[str, ...]]:
        dumped, imports = original(name)
        return (dumped + "changed", imports) if name == "assets.tokens.nearest" else (dumped, imports)

    monkeypatch.setattr(module, "_module", changed)
    assert version(importing) != before
