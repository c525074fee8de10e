"""`python -m dagster_project.estimate`, behind `make estimate`: what language models would be asked, and for how much.

Asset by asset, from the tables that are there now. Nothing is called and no table is written.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import dagster as dg

from assets.making import MAKINGS, Inputs, Looking, Making
from dagster_project.filling import World, follow_slices
from dagster_project.home import opened
from dagster_project.settings import Settings, settings
from resources.desk.estimate import Estimate, estimate
from resources.desk.ledger import Ledger
from resources.desk.ledger_file import LedgerError
from resources.desk.opening import call_name, desk_folder
from resources.desk.prices import price_of
from resources.lake import Lake, LakeError
from resources.raw import RawFolder


class Paid(NamedTuple):
    """What was paid for before: which of some call keys have a reply, and a task's mean tokens of one."""

    found: Callable[[Sequence[str]], Collection[str]]
    usual: Mapping[str, float]


NOTHING = Paid(lambda keys: (), {})  # noqa: ARG005 - where no ledger is, no reply is kept


class Line(NamedTuple):
    """One asset: its language model, the partitions to be made, what they ask, or why that can't be told yet."""

    asset: str
    model: str
    partitions: int
    figures: Estimate
    problem: str


def main(arguments: Sequence[str]) -> int:
    """Prints the estimate. Returns 1 if a setting is wrong."""
    parser = argparse.ArgumentParser(prog="python -m dagster_project.estimate", description=__doc__)
    parser.add_argument("--gemini", action="store_true", help="as if Gemini answered everything, whatever the profile")
    parser.add_argument("--all", action="store_true", help="also partitions that are up to date")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    try:
        chosen = settings()
        print(f"profile {chosen.profile.name}, lake {chosen.lake}", flush=True)
        print(_estimated(chosen, is_gemini=options.gemini, is_all=options.all))
    except (ValueError, OSError, LakeError, LedgerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def asked(world: World, paid: Paid, *, is_gemini: bool, is_all: bool) -> Iterator[Line]:
    """A line for each asset that asks a language model."""
    for making in dict.fromkeys(MAKINGS.values()):
        if making.asks:
            yield _line(world, making, paid, is_gemini=is_gemini, is_all=is_all)


def _line(world: World, making: Making, paid: Paid, *, is_gemini: bool, is_all: bool) -> Line:
    assert making.asks
    profile, path = world.profile, making.tables[0].path
    inputs = Inputs(world.lake, world.raw, profile, world.instance)
    keys = [key for key in making.keys(world.instance) if is_all or not _is_current(inputs, making, key)]
    looking = Looking(making, world.lake, world.instance)
    model = "gemini" if is_gemini else making.asks.model(profile)
    total = Estimate()
    for key in keys:
        try:
            requests = making.asks.requests(looking.at(key), profile)
        except LakeError as error:
            return Line(path, model, len(keys), total, str(error))
        part = estimate(
            requests,
            profile.answers,
            model=call_name(model, profile),
            price=price_of(profile.gemini, profile.desk) if model == "gemini" else None,
            batch_from=profile.desk.batch_from,
            found=paid.found,
            usual=paid.usual,
        )
        total = total.plus(part)
    return Line(path, model, len(keys), total, _out_of_date(inputs, making))


def _out_of_date(inputs: Inputs, making: Making) -> str:
    for table in making.reads:
        other = MAKINGS[table.path]
        if not all(_is_current(inputs, other, key) for key in other.keys(inputs.instance)):
            return f"{table.path} is out of date: other requests may come of it"
    return ""


def table(lines: Sequence[Line]) -> str:
    """The estimate as text."""
    names = ("requests", "kept", "tokens in", "tokens out", "likely $", "at most $")
    rows = [f"{'asset':<26}{'model':<8}{'parts':>6}" + "".join(f"{name:>13}" for name in names)]
    for line in [*lines, _total(lines)]:
        counts, dollars = line.figures[:4], line.figures[4:]
        figures = "".join([*(f"{count:>13,.0f}" for count in counts), *(f"{usd:>13,.2f}" for usd in dollars)])
        rows.append(f"{line.asset:<26}{line.model:<8}{line.partitions:>6}{figures}  {line.problem}".rstrip())
    return "\n".join(rows)


def _total(lines: Sequence[Line]) -> Line:
    total = Estimate()
    for line in lines:
        total = total.plus(line.figures)
    problem = "incomplete" if any(line.problem for line in lines) else ""
    return Line("all", "", sum(line.partitions for line in lines), total, problem)


def _estimated(chosen: Settings, *, is_gemini: bool, is_all: bool) -> str:
    from dagster_project import definitions

    assert definitions, "every asset declares itself while they load"
    desk, folder = chosen.profile.desk, desk_folder(chosen.profile, chosen.lake)
    with ExitStack() as stack:
        instance = stack.enter_context(opened(chosen.home))
        world = World(instance, Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw)), chosen.profile)
        follow_slices(world)
        ledger = stack.enter_context(Ledger(folder, desk)) if folder.is_dir() else None
        paid = paid_before(ledger, call_name("gemini", chosen.profile)) if ledger else NOTHING
        lines = list(asked(world, paid, is_gemini=is_gemini, is_all=is_all))
        spent = sum(entry.usd for entry in ledger.spent()) if ledger else 0.0
    budget = f"Spent so far ${spent:,.2f} of a budget of ${desk.budget_usd:,.2f} (MUSIC_DESK__BUDGET_USD)."
    return "\n\n".join([table(lines), f"{NOTES}\n{budget}"])


def paid_before(ledger: Ledger, model: str) -> Paid:
    """What the ledger knows of the model."""
    tokens: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for entry in ledger.spent():
        if entry.model == model:
            tokens[entry.task] += entry.output_tokens
            calls[entry.task] += entry.calls
    return Paid(ledger.found, {task: tokens[task] / count for task, count in calls.items() if count})


def _is_current(inputs: Inputs, making: Making, key: str) -> bool:
    records = [inputs.lake.record(table, key) for table in making.tables]
    found = [record for record in records if record]
    return len(found) == len(records) and inputs.are_current(making, found)


NOTES = """\
Dollars by the price table or MUSIC_DESK__USD_PER_MILLION_INPUT and ..._OUTPUT; at half of it where a partition has
MUSIC_DESK__BATCH_FROM requests or more. Likely: answers as long as the model's were before, at first as long as those
of the rules (a model that thinks writes several times as much), none asked for again. At most: every answer as long as
MUSIC_ANSWERS__MAX_OUTPUT_TOKENS allows, cut off, made longer and asked for again; calls lost on the way left out."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
