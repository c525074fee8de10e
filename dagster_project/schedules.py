"""The nightly filling: what is missing, failed or out of date, at most so many partitions a night. Off until switched
on.
"""

from collections.abc import Iterator

import dagster as dg

from dagster_project.jobs import Filling, evaluate

MOST_PARTITIONS_A_NIGHT = 500  # a bound on one night's work: about 20 ms of bookkeeping each, and what the work costs


@dg.schedule(cron_schedule="0 2 * * *", job=evaluate, default_status=dg.DefaultScheduleStatus.STOPPED)
def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Fills the missing, failed and out-of-date partitions of the whole graph, in order, up to the night's bound."""
    config = dg.RunConfig({"fill_evaluate": Filling(most_partitions=MOST_PARTITIONS_A_NIGHT)})
    yield dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y%m%dT%H%M}", run_config=config)
