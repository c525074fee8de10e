"""The sensor that sees new and changed slices."""

import os
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.definitions import defs
from dagster_project.sensors import new_slices
from resources.raw import RawFolder


class Watch:
    """A sensor's history: each look goes on from the cursor of the one before."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.raw = RawFolder(root=str(root))
        self.instance = instance
        self.cursor: str | None = None

    def look(self) -> dg.SensorResult | dg.SkipReason:
        """One evaluation; partitions asked for are made, as the daemon does."""
        with dg.build_sensor_context(self.instance, cursor=self.cursor, resources={"raw": self.raw}) as context:
            result = new_slices(context)
        if isinstance(result, dg.SensorResult):
            self.cursor = result.cursor
            for request in result.dynamic_partitions_requests or []:
                self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return result

    def requests(self) -> list[dg.RunRequest]:
        """The runs that a look asks for."""
        result = self.look()
        return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


@pytest.fixture
def watch(published, small):
    """A sensor that has not looked yet."""
    return Watch(published.root, small.instance)


def test_a_new_slice_becomes_a_partition_and_asks_for_one_run(watch: Watch) -> None:
    """One run that fills the sources is asked for, however many slices are new."""
    assert len(watch.requests()) == 1
    assert watch.instance.get_dynamic_partitions("mpd_slice") == ["mpd.slice.0-1"]


def test_nothing_new_asks_for_nothing(watch: Watch) -> None:
    """Looking again says how many slices there are and asks for no run."""
    watch.look()
    skipped = watch.look()
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "1 slices, none new, changed or gone"


def test_only_what_is_new_is_added(watch: Watch, published) -> None:
    """Two slices more make two partitions more, and one run."""
    watch.look()
    published.put_slice("mpd.slice.2-3", [2, 3])
    published.put_slice("mpd.slice.4-5", [4, 5])
    result = watch.look()
    assert isinstance(result, dg.SensorResult)
    assert [list(added.partition_keys) for added in result.dynamic_partitions_requests or []] == [
        ["mpd.slice.2-3", "mpd.slice.4-5"]
    ]
    assert len(result.run_requests or []) == 1


@pytest.mark.parametrize("is_longer", [True, False])
def test_a_changed_file_asks_again(watch: Watch, published, is_longer: bool) -> None:
    """Another size, or only another time of change: a run is asked for, and no partition is made twice."""
    watch.look()
    path = published.put_slice("mpd.slice.0-1", [0, 1, 2] if is_longer else [0, 1])
    os.utime(path, ns=(5, 5))
    result = watch.look()
    assert isinstance(result, dg.SensorResult)
    assert not result.dynamic_partitions_requests
    assert len(result.run_requests or []) == 1
    assert isinstance(watch.look(), dg.SkipReason)


def test_a_change_that_is_taken_back_asks_again(watch: Watch, published) -> None:
    """A file that is as it was before its last change has changed: no look is taken for an earlier one."""
    path = published.put_slice("mpd.slice.0-1", [0, 1])
    for time_ns in (5, 6, 5):
        os.utime(path, ns=(time_ns, time_ns))
        requests = watch.requests()
        assert [request.run_key for request in requests] == [None]


def test_a_slice_that_is_a_partition_already_is_not_added(watch: Watch) -> None:
    """A slice that a filling made known is still new to the sensor: it asks for a run, not for the partition."""
    watch.instance.add_dynamic_partitions("mpd_slice", ["mpd.slice.0-1"])
    result = watch.look()
    assert isinstance(result, dg.SensorResult)
    assert not result.dynamic_partitions_requests
    assert len(result.run_requests or []) == 1


def test_a_slice_that_is_gone_asks_for_a_run_once(watch: Watch, published) -> None:
    """A removed file leaves the corpus by a run; no partition is asked for, and a second look finds nothing."""
    path = published.put_slice("mpd.slice.2-3", [2])
    watch.look()
    path.unlink()
    result = watch.look()
    assert isinstance(result, dg.SensorResult)
    assert not result.dynamic_partitions_requests
    assert len(result.run_requests or []) == 1
    assert isinstance(watch.look(), dg.SkipReason)


def test_no_slices_ask_for_nothing(watch: Watch, published) -> None:
    """Published data without slices is looked at in vain."""
    published.put_slice("mpd.slice.0-1", []).unlink()
    assert isinstance(watch.look(), dg.SkipReason)


def test_the_run_fills_the_sources_alone(watch: Watch) -> None:
    """The request is a valid configuration of the job that the sensor launches."""
    request = watch.requests()[0]
    assert new_slices.job_name == "corpus"
    assert dg.validate_run_config(defs.resolve_job_def("corpus"), request.run_config)
    assert request.run_config["ops"]["fill_corpus"]["config"]["stages"] == ["sources"]


def test_it_is_off_until_switched_on() -> None:
    """Nobody's machine starts to work unasked."""
    assert new_slices.default_status is dg.DefaultSensorStatus.STOPPED
