"""Everything Dagster shows: assets of every stage, their resources for the chosen profile, jobs, schedules and
sensors.
"""

from importlib import import_module

import dagster as dg

from dagster_project.jobs import JOBS
from dagster_project.schedules import nightly
from dagster_project.sensors import new_slices
from dagster_project.settings import settings
from dagster_project.stages import STAGES
from resources.lake import Lake
from resources.raw import RawFolder

_settings = settings()

# In the order of the graph: an asset's declaration looks up those it reads.
_stages = [import_module(f"assets.{stage}.defs") for stage in STAGES]

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(_stages),
    asset_checks=dg.load_asset_checks_from_modules(_stages),
    resources={
        "lake": Lake(root=str(_settings.lake)),
        "raw": RawFolder(root=str(_settings.raw)),
        "profile": _settings.profile,
    },
    jobs=JOBS,
    schedules=[nightly],
    sensors=[new_slices],
    executor=dg.in_process_executor,
)
