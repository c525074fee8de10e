"""`make bench`: runs every benchmark in a process of its own, prints one row a claim, writes
`benchmarks/results.json`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
SNIPPET = "import json, sys; from benchmarks.{name} import measure; print('CLAIMS', json.dumps(measure()))"


def main(names: Sequence[str]) -> int:
    """Runs the named benchmarks, or all. Returns 1 if a claim does not hold."""
    found = sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef measure(" in path.read_text(encoding="utf-8"))
    chosen = [name for name in found if not names or name in names]
    rows = [row for name in chosen for row in _claims(name)]
    print(f"\n{'claim':<64}{'ours':>14}{'alternative':>14}{'ratio':>8}  {'goal':<24}holds")
    for name, ours, alternative, ratio, goal, holds, unit in rows:
        figures = f"{ours:>14,.4g}{alternative:>14,.4g}{ratio:>8.2f}"
        print(f"{name:<64.64}{figures}  {goal:<24.24}{'yes' if holds else 'NO'} ({unit})")
    kept = {row["name"]: row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    columns = ("name", "ours", "alternative", "ratio", "goal", "holds", "unit")
    kept |= {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    RESULTS.write_text(json.dumps(sorted(kept.values(), key=lambda row: row["name"]), indent=1) + "\n")
    return 0 if all(row[5] for row in rows) else 1


def _claims(name: str) -> list[list[object]]:
    print(f"benchmarks.{name} ...", flush=True)
    command = [sys.executable, "-W", "ignore", "-c", SNIPPET.format(name=name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER.parent)
    line = next((line for line in done.stdout.splitlines() if line.startswith("CLAIMS ")), None)
    if line is None:
        raise SystemExit(f"benchmarks.{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    rows: list[list[object]] = json.loads(line.removeprefix("CLAIMS "))
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
