"""Sees new, changed and removed slices of the Million Playlist Dataset and has them ingested. Off until switched on."""

import dagster as dg
import msgspec

from dagster_project.jobs import Filling, corpus
from resources.raw import RawFolder


@dg.sensor(job=corpus, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def new_slices(context: dg.SensorEvaluationContext, raw: RawFolder) -> dg.SensorResult | dg.SkipReason:
    """Makes each new slice file a partition, and fills `sources` when one is new, changed or gone."""
    seen: dict[str, list[int]] = msgspec.json.decode(context.cursor) if context.cursor else {}
    stats = {name: path.stat() for name, path in raw.slices().items()}
    found = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    changed = [name for name, stamp in found.items() if seen.get(name) != stamp]
    if found == seen:
        return dg.SkipReason(f"{len(found)} slices, none new, changed or gone")
    known = set(context.instance.get_dynamic_partitions("mpd_slice"))
    new = [name for name in changed if name not in known]
    cursor = msgspec.json.encode(found).decode()
    request = dg.RunRequest(run_config=dg.RunConfig({"fill_corpus": Filling(stages=["sources"])}))
    additions = [dg.DynamicPartitionsDefinition(name="mpd_slice").build_add_request(new)] if new else []
    return dg.SensorResult(run_requests=[request], dynamic_partitions_requests=additions, cursor=cursor)
