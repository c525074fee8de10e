"""The milestone jobs fill the graph."""

import dagster as dg

from assets.sources.tables import ARTIST_FACTS, PLAYLISTS, PLAYS
from dagster_project import definitions
from dagster_project.filling import World
from dagster_project.home import PROCESS_TAG, process_tag
from dagster_project.stages import CORPUS, EVALUATION, INDEX, STAGES


def run(world: World, job: str = "corpus", **config: object) -> dg.ExecuteInProcessResult:
    """One run of a milestone job, of the sources unless `stages` are given."""
    configured = {"config": {"stages": ["sources"], **config}}
    return definitions.defs.resolve_job_def(job).execute_in_process(
        instance=world.instance,
        run_config={"ops": {f"fill_{job}": configured}, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def test_a_job_fills_and_a_second_run_makes_nothing(small: World) -> None:
    """Every partition is there after a run, each filled by a run that names the job's; a second one starts none."""
    result = run(small)
    assert result.success
    assert small.lake.partitions(PLAYLISTS) == ["mpd.slice.0-1"]
    assert len(small.lake.partitions(PLAYS)) == 4
    records = small.instance.get_run_records(dg.RunsFilter(tags={"music/filled_by": result.run_id}))
    assert len(records) == 5
    assert all(record.dagster_run.tags[PROCESS_TAG] == process_tag() for record in records)
    before = small.instance.get_runs_count()
    assert run(small).success
    assert small.instance.get_runs_count() == before + 1


def test_a_run_makes_no_more_than_it_may(small: World) -> None:
    """`most_partitions` bounds one run; 0 means no bound."""
    assert run(small, most_partitions=2).success
    assert (small.lake.partitions(PLAYLISTS), len(small.lake.partitions(PLAYS))) == (["mpd.slice.0-1"], 1)
    assert small.lake.record(ARTIST_FACTS) is None
    assert run(small, most_partitions=0).success
    assert small.lake.record(ARTIST_FACTS)


def test_a_job_fails_where_an_asset_does_and_names_the_first(small: World, published) -> None:
    """The rest is filled all the same; the job's failure counts the assets and names the first with its error."""
    (published.root / "facts/artists.jsonl").mkdir(parents=True)
    result = run(small)
    assert not result.success
    failure = result.failure_data_for_node("fill_corpus")
    assert failure
    assert failure.error
    said = str(failure.error)
    assert "1 assets were not filled; the first: sources/artist_facts: " in said
    assert "Is a directory" in said
    assert small.lake.partitions(PLAYLISTS) == ["mpd.slice.0-1"]


def test_the_corpus_ends_before_the_index(small: World) -> None:
    """A job fills only the stages that it covers, whatever it is asked for."""
    assert run(small, stages=["index"]).success
    assert small.instance.get_runs_count() == 1


def test_milestones_hold_those_before_them() -> None:
    """Corpus, index and evaluation are beginnings of the stages, each longer than the one before; the last is all."""
    assert [CORPUS[-1], INDEX[-1], EVALUATION[-1]] == ["shards", "index", "evaluation"]
    assert (STAGES[: len(CORPUS)], STAGES[: len(INDEX)], EVALUATION) == (CORPUS, INDEX, STAGES)


def test_a_negative_bound_is_refused(small: World) -> None:
    """The configuration says what may be asked."""
    config = {"ops": {"fill_corpus": {"config": {"most_partitions": -1}}}}
    result = definitions.defs.resolve_job_def("corpus").execute_in_process(
        instance=small.instance, run_config=config, raise_on_error=False
    )
    assert not result.success
    assert small.lake.partitions(PLAYLISTS) == []
