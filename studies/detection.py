"""Measures which planted faults the harness finds, locates and names, and its false alarms.

    python -m studies.detection --out FOLDER

Compares every faulty loop of `tests/faults/planted.py` with its reference, and clean loops with
recipes drawn at random with each other. Trains several hundred short runs. Writes `score.json` and
`score.md`. Published: `reports/published/detection`. The exit code is 1 if the score falls short.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.comparison.compare import compare
from harness.execution.parent.runner import Run, run_all
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison
from harness.results.record import RunRecord, write_atomically
from harness.spec import registry
from studies.random_recipes import LOOPS, draw_recipe
from tests.faults.fault import Fault
from tests.faults.planted import FAULTS
from tests.faults.runs import find

__all__ = ["SCORE", "detect", "expected_of", "shortfalls"]

SCORE = "score.json"
CAUSES_RIGHT = 0.9  # required share of the faults whose cause is in the table of causes
CLEAN_TRIPLES = 34  # three pairs each
CLEAN_SEED = 17


def detect(out: Path, triples: int = CLEAN_TRIPLES, jobs: int = 2) -> dict[str, Any]:
    """Train everything with records in `out`; the score, as it is published."""
    found = find(FAULTS, out / "faults", jobs)
    rows = [_row(fault, found[fault.name]) for fault in FAULTS]
    clean = _clean(out / "clean", triples, jobs)
    known = [row for row in rows if row["expected"]["cause"] is not None]
    unknown = [row for row in rows if row["expected"]["cause"] is None]
    return {
        "totals": {
            "faults": len(rows),
            "found": sum(row["found"] for row in rows),
            "placed": sum(row["placed"] for row in rows),
            "in_the_table": len(known),
            "named": sum(row["named"] for row in known),
            "false_names": sum(len(row["false_names"]) for row in known),
            "outside_the_table": len(unknown),
            "false_names_outside": sum(len(row["false_names"]) for row in unknown),
            "clean_pairs": clean["pairs"],
            "false_alarms": len(clean["false_alarms"]),
        },
        "faults": rows,
        "clean": clean,
    }


def shortfalls(score: dict[str, Any]) -> list[str]:
    """The rules that the score breaks, one line each."""
    totals = score["totals"]
    rules = {
        "every fault is found": totals["found"] == totals["faults"],
        "each fault is found at its step and stage": totals["placed"] == totals["faults"],
        f"at least {CAUSES_RIGHT:.0%} of those in the table are named by their cause only": (
            totals["named"] >= CAUSES_RIGHT * totals["in_the_table"]
        ),
        "no fault outside the table is given a cause": totals["false_names_outside"] == 0,
        "100 or more clean pairs raise no alarm": (
            totals["clean_pairs"] >= 100 and totals["false_alarms"] == 0
        ),
    }
    return [rule for rule, holds in rules.items() if not holds]


def expected_of(fault: Fault) -> dict[str, Any]:
    """The expected result for a fault; `also` only if it has several causes."""
    expected = {"step": fault.step, "stage": fault.stage, "cause": fault.cause}
    return {**expected, "also": list(fault.also)} if fault.also else expected


def _row(fault: Fault, seen: Comparison) -> dict[str, Any]:
    first = seen.first_divergence
    causes = [cause.id for cause in seen.causes]
    place = None if first is None else [first.step, first.stage]
    return {
        "name": fault.name,
        "what": fault.what,
        "expected": expected_of(fault),
        "seen": {"outcome": seen.outcome, "place": place, "causes": causes},
        "doubts": list(seen.doubts) if first is None else [],
        "found": seen.outcome == "different",
        "placed": place == [fault.step, fault.stage],
        "named": sorted(causes) == sorted(fault.causes),
        "false_names": [cause for cause in causes if cause not in fault.causes],
    }


def _clean(folder: Path, triples: int, jobs: int) -> dict[str, Any]:
    """Matched loops with random recipes, seeds, sizes and lengths: all must be identical."""
    draw = random.Random(CLEAN_SEED)
    case = registry.cases()["paraphrase"]
    runs = []
    for number in range(triples):
        fields = {
            **draw_recipe(draw),
            "seed": draw.randrange(10**6),
            "max_steps": draw.randrange(4, 13),
            "train_rows": draw.randrange(20, 60),
            "eval_rows": draw.randrange(6, 14),
        }
        small = registry.with_settings(case, fields)
        runs += [
            Run(registry.run_spec(small, loop), folder / f"{number:02}-{loop}") for loop in LOOPS
        ]
    run_all(runs, jobs, lambda _number, _event: None, keep_going=True)
    pairs, alarms = 0, []
    for number in range(triples):
        records = {loop: RunRecord(folder / f"{number:02}-{loop}") for loop in LOOPS}
        for one, two in itertools.combinations(LOOPS, 2):
            seen = compare(records[one], records[two], (one, two))
            pairs += 1
            if seen.outcome != "identical" or seen.causes:
                causes = [cause.id for cause in seen.causes]
                alarms.append(f"{number:02}: {sentence(seen)} {causes} {seen.doubts}")
    return {"pairs": pairs, "seed": CLEAN_SEED, "false_alarms": alarms}


def markdown(score: dict[str, Any]) -> str:
    """The score as a Markdown page."""
    lines = ["# Planted faults and what the harness finds", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in score["totals"].items()]
    lines += [
        "",
        "Made by `python -m studies.detection --out FOLDER`. A fault without a cause is not in the "
        "table of causes: it must be found and located, and given no cause.",
        "",
        "| fault | what is wrong | step | stage | cause | found | located | named | other causes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in score["faults"]:
        expected = row["expected"]
        marks = ["yes" if row[key] else "**no**" for key in ("found", "placed", "named")]
        others = ", ".join(row["false_names"])
        cells = [row["name"], row["what"], expected["step"], expected["stage"]]
        cause = ", ".join([expected["cause"] or "none", *expected.get("also", ())])
        cells += [cause, *marks, others]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "## False alarms", "", *(score["clean"]["false_alarms"] or ["None."])]
    return "\n".join(lines) + "\n"


def table(score: dict[str, Any]) -> Table:
    """The result of each fault, and the totals."""
    made = Table(caption=", ".join(f"{name} {value}" for name, value in score["totals"].items()))
    for heading in ("fault", "expected", "seen", "cause", "named"):
        made.add_column(heading, overflow="fold")
    for row in score["faults"]:
        expected, seen = row["expected"], row["seen"]
        colour = "" if row["placed"] and row["named"] else "yellow" if row["found"] else "red"
        made.add_row(
            row["name"],
            f"{expected['step']} {expected['stage']}",
            "same" if row["placed"] else str(seen["place"]),
            ", ".join([expected["cause"] or "none", *expected.get("also", ())]),
            "same" if row["named"] else ", ".join(seen["causes"]) or "none",
            style=colour,
        )
    return made


def write(score: dict[str, Any], out: Path) -> None:
    """Write `score.json` and `score.md`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in ((SCORE, json.dumps(score, indent=1) + "\n"), ("score.md", markdown(score))):
        with write_atomically(out / name) as path:
            path.write_text(text, encoding="utf-8")


def main(
    out: Annotated[Path, typer.Option(help="A new folder for records and score.")] = Path(
        "reports/detection"
    ),
    triples: Annotated[int, typer.Option(min=1, help="Clean recipes.")] = CLEAN_TRIPLES,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
) -> None:
    """Train everything, show and write the score; exit code 1 if it falls short."""
    score = detect(out / "records", triples, jobs)
    write(score, out)
    console = Console()
    console.print(table(score))
    for line in (*score["clean"]["false_alarms"], *shortfalls(score)):
        console.print(line, style="red", markup=False)
    sys.exit(1 if shortfalls(score) else 0)


if __name__ == "__main__":
    typer.run(main)
