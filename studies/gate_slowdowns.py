"""Does the gate turn red where a loop, or all of them, really became 10% slower? Counted.

    python -m studies.gate_slowdowns --runs 5 --budget 120 --out FOLDER

Two loops of equal code are benched and accepted, then checked again and again by the command line:
unchanged, with 10% more CPU work in each step of one, and with as much in both. The work is planted
by a file that the loops read, so that all else of the check is the same. Started again with the
same --out it goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.results.report import REPORT_FILE, Report
from studies.bench_study import study_case, write_result

LOOPS = Path(__file__).parent / "slow_loops"
PLANTED = {
    "nothing": {"one": 0.0, "all": 0.0},
    "one loop": {"one": 0.1, "all": 0.0},
    "all loops": {"one": 0.0, "all": 0.1},
}


def main(
    runs: Annotated[int, typer.Option(min=1, help="Checks of each kind.")] = 5,
    budget: Annotated[float, typer.Option(help="Seconds of each check.")] = 120.0,
    sessions: Annotated[int, typer.Option(min=3, help="Of the baseline's bench.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder for checks and result; goes on there.")] = (
        Path("reports/gate-slowdowns")
    ),
) -> None:
    """Count exit codes and lists of checks with planted slowdowns; write result.json as it goes."""
    console = Console(stderr=True)
    case = study_case(out)
    planted = (out / "planted.json").resolve()
    task = [
        *("--loops", f"{LOOPS / 'first.py'},{LOOPS / 'second.py'}"),
        *("--set", f"data={case.options['data']}"),
    ]

    def harness(what: str, *arguments: str) -> int:
        planted.write_text(json.dumps(PLANTED[what]), encoding="utf-8")
        command = [sys.executable, "-m", "harness", *arguments]
        return subprocess.run(
            command, env={**os.environ, "PLANTED": str(planted)}, stdout=subprocess.DEVNULL
        ).returncode

    baseline = out / "baselines"
    if not any(baseline.glob("*.json")):
        many = ("--sessions", str(sessions), "--rounds", "3", "--budget", "3600", "--resume")
        harness("nothing", "bench", *task, *many, "--out", str(out / "bench"))
        accept = ("accept", str(out / "bench"), "--baseline", str(baseline), "--reason", "a study")
        if harness("nothing", *accept):
            raise typer.Exit(3)
    found: list[dict[str, Any]] = []

    def summary() -> dict[str, Any]:
        return {
            "budget_s": budget,
            "exit_codes": {
                what: dict(Counter(run["exit_code"] for run in found if run["planted"] == what))
                for what in PLANTED
            },
        }

    for number in range(1, runs + 1):
        for what in PLANTED:
            folder = out / f"{what.replace(' ', '-')}-{number:02}"
            code_file = folder / "exit_code.txt"
            if not code_file.is_file():
                options = ("--baseline", str(baseline), "--budget", str(budget))
                code = harness(what, "check", *task, *options, "--out", str(folder))
                if (folder / REPORT_FILE).is_file():
                    code_file.write_text(f"{code}\n", encoding="utf-8")
            found.append(_seen(what, number, folder))
            write_result(out, found, summary)
            console.print(found[-1])
    console.print(summary())


def _seen(what: str, number: int, folder: Path) -> dict[str, Any]:
    """What a check said of speeds, with its exit code."""
    gate = Report.read(folder).gate
    assert gate is not None
    return {
        "planted": what,
        "run": number,
        "exit_code": int((folder / "exit_code.txt").read_text(encoding="utf-8")),
        "looks": gate.looks,
        "moved_together": gate.moved_together,
        "speeds": {
            f"{item.loop} {item.metric}": [item.listed, item.ratio, item.interval]
            for item in gate.items
            if item.tier == "speed"
        },
        "other": [
            item.words
            for item in gate.items
            if item.tier != "speed" and item.listed not in ("unchanged", "improved")
        ],
    }


if __name__ == "__main__":
    typer.run(main)
