"""`python -m dagster_project.results`, behind `make results`: the evaluation tables of the lake."""

import argparse
import sys
from collections.abc import Sequence

from assets.evaluation.cbr_table import cbr_text
from assets.evaluation.tables import CBR, TALKPLAY
from assets.evaluation.talkplay_table import talkplay_text
from dagster_project.settings import settings
from resources.lake import Lake, LakeError

TEXTS = {CBR: cbr_text, TALKPLAY: talkplay_text}  # of every evaluation table


def main(arguments: Sequence[str]) -> int:
    """Prints the tables. Returns 1 if there is none yet, or a setting is wrong."""
    argparse.ArgumentParser(prog="python -m dagster_project.results", description=__doc__).parse_args(arguments)
    try:
        chosen = settings()
        found = results(Lake(root=str(chosen.lake)))
    except (ValueError, OSError, LakeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not found:
        print(f"no evaluation table in {chosen.lake}: make them with `make run`", file=sys.stderr)
        return 1
    print(f"profile {chosen.profile.name}, lake {chosen.lake}", *found, sep="\n\n")
    return 0


def results(lake: Lake) -> list[str]:
    """The text of each evaluation table that the lake has."""
    return [text(lake.read(table)) for table, text in TEXTS.items() if lake.record(table)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
