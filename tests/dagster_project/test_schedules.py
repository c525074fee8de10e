"""The nightly filling."""

from datetime import UTC, datetime

import dagster as dg

from dagster_project.definitions import defs
from dagster_project.schedules import MOST_PARTITIONS_A_NIGHT, nightly
from dagster_project.stages import STAGES


def requests(*day: int) -> list[dg.RunRequest]:
    """What the schedule asks for in one night."""
    with dg.build_schedule_context(scheduled_execution_time=datetime(*day, 2, tzinfo=UTC)) as context:
        return list(nightly.evaluate_tick(context).run_requests or [])


def test_a_night_asks_for_one_run_under_its_own_key() -> None:
    """The key is the night's time, so that a night that is evaluated twice runs once."""
    assert [request.run_key for request in requests(2026, 1, 31)] == ["20260131T0200"]
    assert requests(2026, 1, 31)[0].run_key == requests(2026, 1, 31)[0].run_key != requests(2026, 2, 1)[0].run_key


def test_a_nights_work_is_bounded() -> None:
    """The run fills every stage, but no more than so many partitions, and its configuration is valid."""
    run_config = requests(2026, 1, 31)[0].run_config
    assert dg.validate_run_config(defs.resolve_job_def("evaluate"), run_config)
    config = run_config["ops"]["fill_evaluate"]["config"]
    assert config["most_partitions"] == MOST_PARTITIONS_A_NIGHT > 0
    assert config["stages"] == list(STAGES)


def test_it_is_off_until_switched_on() -> None:
    """It launches the job `evaluate` at two in the morning, once someone has switched it on."""
    assert nightly.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (nightly.job_name, nightly.cron_schedule) == ("evaluate", "0 2 * * *")
