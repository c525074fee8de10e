"""A job a milestone. Assets are cut in different ways, so that one asset job can't hold them all: these jobs fill the
graph.
"""

import dagster as dg
from pydantic import Field

from dagster_project.filling import World, fill, only_filling
from dagster_project.home import PROCESS_TAG, process_tag
from dagster_project.stages import CORPUS, EVALUATION, INDEX, MODELS


class Filling(dg.Config):
    """How much one run may fill."""

    most_partitions: int = Field(default=0, ge=0, description="Stop after so many partitions; 0: no limit")
    stages: list[str] = Field(default=list(EVALUATION), description="The stages to fill, of those the job covers")


def _milestone(name: str, stages: tuple[str, ...], description: str) -> dg.JobDefinition:
    @dg.op(name=f"fill_{name}", required_resource_keys={"lake", "raw", "profile"}, description=description)
    def run(context: dg.OpExecutionContext, config: Filling) -> None:
        context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: process_tag()})
        resources = context.resources
        world = World(context.instance, resources.lake, resources.raw, resources.profile)
        chosen = [stage for stage in stages if stage in config.stages]
        most = config.most_partitions or None
        errors = []
        with only_filling(world.lake, is_waiting=True):
            for step in fill(world, stages=chosen, most_partitions=most, tags={"music/filled_by": context.run.run_id}):
                made = f"{step.made} of {step.partitions} partitions in {step.seconds:.1f} s"
                context.log.info(f"{step.asset}: {made} {step.error}")
                errors += [f"{step.asset}: {step.error}"] if step.error else []
        if errors:
            raise dg.Failure(f"{len(errors)} assets were not filled; the first: {errors[0]}", allow_retries=False)

    @dg.job(name=name, description=description)
    def job() -> None:
        run()

    return job


corpus = _milestone("corpus", CORPUS, "From published data to training shards: fills what is missing or out of date.")
index = _milestone("index", INDEX, "The corpus and the token index: fills what is missing or out of date.")
models = _milestone(
    "models", MODELS, "Corpus, index and the models trained on them: fills what is missing or out of date."
)
evaluate = _milestone(
    "evaluate", EVALUATION, "Corpus, index and what comes of them, judged: fills what is missing or out of date."
)
JOBS = [corpus, index, models, evaluate]
