"""Measures how often a regression check detects that one loop, or all of them, are 10% slower.

    python -m studies.check_power --runs 5 --budget 120 --out FOLDER

Two loops of equal code are benched and accepted. Then the command line checks them repeatedly:
unchanged, with 10% more CPU work in each step of one loop, and with the same in both. The loops
read the planted work from a file, so that everything else is equal. Takes three times runs times
budget: 30 minutes by default, and the bench of the baseline. With the same --out a stopped study
continues. Published: `reports/published/gate-slowdowns`.
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
from studies.study import study_case, write_result

LOOPS = Path(__file__).parent / "slow_loops"
PLANTED = {
    "nothing": {"one": 0.0, "all": 0.0},
    "one loop": {"one": 0.1, "all": 0.0},
    "all loops": {"one": 0.0, "all": 0.1},
}


def main(
    runs: Annotated[int, typer.Option(min=1, help="Checks of each kind.")] = 5,
    budget: Annotated[float, typer.Option(help="Seconds of each check.")] = 120.0,
    sessions: Annotated[int, typer.Option(min=3, help="Sessions of the baseline.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder of the result; a stopped study continues.")] = (
        Path("reports/check-power")
    ),
) -> None:
    """Count exit codes of checks with planted slowdowns; write result.json after each check."""
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
            found.append(_result_of(what, number, folder))
            write_result(out, {**summary(), "runs": found})
            console.print(found[-1])
    console.print(summary())


def _result_of(what: str, number: int, folder: Path) -> dict[str, Any]:
    """The speeds that a check reported, and its exit code."""
    check = Report.read(folder).gate
    assert check is not None
    return {
        "planted": what,
        "run": number,
        "exit_code": int((folder / "exit_code.txt").read_text(encoding="utf-8")),
        "looks": check.measurements,
        "moved_together": check.moved_together,
        "speeds": {
            f"{item.loop} {item.metric}": [item.listed, item.ratio, item.interval]
            for item in check.items
            if item.tier == "speed"
        },
        "other": [
            item.sentence
            for item in check.items
            if item.tier != "speed" and item.listed not in ("unchanged", "improved")
        ],
    }


if __name__ == "__main__":
    typer.run(main)
