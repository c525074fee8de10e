"""The definitions load quickly and say everything that a person needs to see."""

import subprocess
import sys

import dagster as dg
import pytest

from assets.making import MAKINGS, asset_key
from dagster_project.definitions import defs
from dagster_project.stages import STAGES

HEAVY = [
    "torch",
    "transformers",
    "whisper",
    "lancedb",
    "librosa",
    "ray",
    "google.generativeai",
    "gensim",
    "numba",
    "av",
]
SPECS = {spec.key: spec for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.path)}


def test_no_heavy_library_is_loaded() -> None:
    """Loading the definitions imports none of the libraries that do the work."""
    code = f"import sys, dagster_project.definitions; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("key", SPECS, ids=lambda key: key.to_user_string())
def test_every_asset_is_described(key: dg.AssetKey) -> None:
    """Each asset has its stage as group, an owner, kinds, a code version, a description and documented columns."""
    spec = SPECS[key]
    assert spec.group_name == key.path[0] in STAGES
    assert spec.owners
    assert spec.kinds
    assert spec.code_version
    assert spec.description
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns
    assert all(column.description for column in columns)


@pytest.mark.parametrize("path", MAKINGS)
def test_every_asset_is_checked(path: str) -> None:
    """Each table has the check that it reads back, and it blocks what comes after."""
    checks = {key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key.path == path.split("/")}
    assert "reads_back" in {key.name for key in checks}


def test_differently_cut_assets_name_their_mapping() -> None:
    """No dependency between differently partitioned assets is left to Dagster's silent identity mapping."""
    graph = defs.resolve_asset_graph()
    for making in MAKINGS.values():
        for table in making.tables:
            for read in making.reads:
                mapping = graph.get_partition_mapping(asset_key(table), asset_key(read))
                upstream = MAKINGS[read.path].partitions
                if upstream is not None and upstream != making.partitions:
                    assert isinstance(mapping, dg.AllPartitionMapping), (table.path, read.path)


def test_assets_read_only_earlier_stages() -> None:
    """Dependencies point from a later stage to an earlier one, or stay inside a stage."""
    for making in MAKINGS.values():
        for read in making.reads:
            assert STAGES.index(read.stage) <= STAGES.index(making.tables[0].stage)


def test_no_configuration_field_can_hold_a_key() -> None:
    """Keys are environment variables only: the profile, which the UI shows, has no field for one."""
    profile = defs.resources["profile"]
    names = [name for section in profile.model_dump().values() if isinstance(section, dict) for name in section]
    assert names
    assert not [name for name in names if name.endswith(("_key", "_token", "_secret"))]


def test_milestone_jobs_exist() -> None:
    """The corpus, the index, the models and the evaluation each have a job."""
    assert {"corpus", "index", "models", "evaluate"} == {job.name for job in defs.jobs or []}
