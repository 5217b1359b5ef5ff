"""Checks what `harness check --against GIT_REF` reports on pairs of commits with known changes.

    python -m studies.commit_pairs --out FOLDER

Makes two small repositories with git, a training script and a package with a loop
(`studies/commits/`). On top of the first commit of each, one commit changes nothing that trains,
renames, rounds otherwise, changes a setting, costs time or breaks the training. The command line
compares each with the first commit. Every result must be in its right list: what changed, what did
not, what could not be compared. A cost in time may be in the third list, and never among what did
not change. Takes about 10 minutes: 20 s for each pair, --budget seconds where speeds are compared.
Published: `reports/published/commit-pairs`. The exit code is 1 if an answer has a mistake.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from studies.commits.examine import check_pair
from studies.commits.pairs import PAIRS
from studies.study import write_result

__all__ = ["LEAST", "shortfalls", "summary"]

LEAST = 12
"""Pairs that the study must hold."""


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts, and the row of each pair."""
    return {
        "pairs": len(rows),
        "right": sum(not row["mistakes"] for row in rows),
        "rows": rows,
    }


def shortfalls(result: dict[str, Any]) -> list[str]:
    """The rules that a result breaks, one line each."""
    wrong = [f"{row['name']}: {'; '.join(row['mistakes'])}" for row in result["rows"]]
    few = [] if result["pairs"] >= LEAST else [f"there are {LEAST} pairs or more"]
    return few + [line for line, row in zip(wrong, result["rows"], strict=True) if row["mistakes"]]


def main(
    out: Annotated[Path, typer.Option(help="A folder for repositories, reports and result.")] = (
        Path("reports/commit-pairs")
    ),
    budget: Annotated[
        float, typer.Option(min=1, help="Seconds for the speeds of a pair that is timed.")
    ] = 75.0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A pair by its name; can be repeated.")
    ] = None,
) -> None:
    """Check each pair and write result.json."""
    rows = []
    load = os.getloadavg()[0]
    for number, pair in enumerate(PAIRS, 1):
        if only and pair.name not in only:
            continue
        rows.append(check_pair(pair, out / f"{number:02}", budget))
        right = "; ".join(rows[-1]["mistakes"]) or "right"
        sys.stdout.write(f"{pair.name}: {right} ({rows[-1]['seconds']} s)\n")
        sys.stdout.flush()
        write_result(out, {"budget_s": budget, "load_before": load, **summary(rows)})
    sys.exit(1 if any(row["mistakes"] for row in rows) else 0)


if __name__ == "__main__":
    typer.run(main)
