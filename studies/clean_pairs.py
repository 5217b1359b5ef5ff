"""Counts alarms and names on clean pairs of many kinds: none of them has a fault.

    python -m studies.clean_pairs --out FOLDER

Trains matched loops with recipes drawn at random, resumed runs and two processes. Traces each
script of `tests/scripts/` several times, and two programs whose updates are cut otherwise, whose
parameters have other names, or that round otherwise. Each pair must be called equal and be given no
cause. A run that was stopped continues with the records that it has. Published:
`reports/published/clean-pairs`. The exit code is 1 if there is an alarm or a name.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from studies.clean.commands import command_pairs
from studies.clean.loops import loop_pairs
from studies.clean.pair import examined
from studies.study import write_result

__all__ = ["LEAST", "shortfalls", "summary"]

LEAST = 300
"""Pairs that the study must hold."""


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of each kind, and every pair with an alarm or a name."""
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], Counter()).update(["pairs", row["outcome"]])
    wrong = [row for row in rows if row["alarm"] or row["names"]]
    unshown = Counter(name for row in rows for name in row["not_shown"])
    return {
        "pairs": len(rows),
        "alarms": sum(row["alarm"] for row in rows),
        "names": sum(bool(row["names"]) for row in rows),
        "kinds": {kind: dict(counts) for kind, counts in kinds.items()},
        "not_shown": dict(unshown),
        "facts": dict(Counter(fact for row in rows for fact in row["facts"])),
        "wrong": wrong,
        "inconclusive": [row for row in rows if row["outcome"] == "inconclusive"],
    }


def shortfalls(result: dict[str, Any]) -> list[str]:
    """The rules that a result breaks, one line each."""
    rules = {
        f"there are {LEAST} pairs or more": result["pairs"] >= LEAST,
        "no clean pair raises an alarm": result["alarms"] == 0,
        "no clean pair is given a cause": result["names"] == 0,
    }
    return [rule for rule, holds in rules.items() if not holds]


def main(
    out: Annotated[Path, typer.Option(help="A folder for records and result.")] = Path(
        "reports/clean-pairs"
    ),
    recipes: Annotated[int, typer.Option(min=1, help="Recipes, three pairs each.")] = 34,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the two programs.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
    trained: Annotated[
        bool, typer.Option("--trained", help="Train nothing: compare the records in --out.")
    ] = False,
) -> None:
    """Train everything, compare each pair, and write result.json."""
    records = (out / "records").resolve()
    pairs = itertools.chain(
        command_pairs(records / "commands", seeds, not trained),
        loop_pairs(records / "loops", recipes, jobs, not trained),
    )
    rows: list[dict[str, Any]] = []
    for pair in pairs:
        if trained and not pair.is_recorded:
            continue
        rows.append(examined(pair))
        if rows[-1]["alarm"] or rows[-1]["names"]:
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.flush()
        write_result(out, summary(rows))
    result = summary(rows)
    for line in (str(result["kinds"]), *shortfalls(result)):
        sys.stdout.write(f"{line}\n")
    sys.exit(1 if shortfalls(result) else 0)


if __name__ == "__main__":
    typer.run(main)
