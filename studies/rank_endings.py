"""Measures how the command ends if one of two processes is killed, hangs or runs out of memory.

    python -m studies.rank_endings --repetitions 20 --out FOLDER

Each time the command must end within the stated time, with exit code 3, a report that names the
rank, and no process left. 20 repetitions took 16 minutes. Published:
`reports/published/rank-endings`. The exit code is 1 if any run ends differently.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console

from harness.results.record import RunRecord
from studies.study import write_result
from tests.faults.mutations import path_of

ENDINGS = {
    "killed": "rank 1 of 2 ended with signal SIGKILL",
    "out_of_memory": "rank 1: MemoryError",
    "hangs": "rank_1_hangs.py",
}
TIMEOUT_S = 15
ALLOWED_S = 90  # includes the start of two processes and the report, on a busy machine


def once(ending: str, folder: Path) -> dict[str, Any]:
    """Run the command once; how it ended."""
    loop = Path(path_of(f"rank_1_{ending}"))
    mark = f"HARNESS_ENDING={folder}"
    command = [
        sys.executable, "-m", "harness", "run", "--loops", str(loop), "--processes", "2",
        "--set", "train_rows=44", "--set", "eval_rows=8", "--timeout", str(TIMEOUT_S),
        "--out", str(folder),
    ]  # fmt: skip
    name, _, value = mark.partition("=")
    started = time.monotonic()
    done = subprocess.run(
        command, env={**os.environ, name: value}, capture_output=True, timeout=600, check=False
    )
    wall_s = time.monotonic() - started
    time.sleep(0.5)
    left = [process.pid for process in psutil.process_iter() if _has(process, name, value)]
    error = RunRecord(folder / "records" / f"paraphrase-{loop.stem}").header.error or ""
    return {
        "ending": ending,
        "exit_code": done.returncode,
        "wall_s": round(wall_s, 1),
        "report": (folder / "report.html").is_file(),
        "named": ENDINGS[ending] in error,
        "processes_left": len(left),
    }


def _has(process: psutil.Process, name: str, value: str) -> bool:
    try:
        return process.environ().get(name) == value and process.status() != "zombie"
    except psutil.Error:
        return False


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each ending.")] = 20,
    out: Annotated[Path, typer.Option(help="A new folder for records and result.")] = Path(
        "reports/rank-endings"
    ),
) -> None:
    """Repeat each ending and write result.json."""
    console = Console()
    runs: list[dict[str, Any]] = []
    for number in range(repetitions):
        for ending in ENDINGS:
            found = once(ending, out / f"{ending}-{number:02}")
            found["good"] = (
                (found["exit_code"], found["report"], found["named"], found["processes_left"])
                == (3, True, True, 0)
            ) and found["wall_s"] <= ALLOWED_S
            runs.append(found)
            console.print(found)
    bad = [found for found in runs if not found["good"]]
    result = {"timeout_s": TIMEOUT_S, "allowed_s": ALLOWED_S, "runs": runs, "bad": bad}
    write_result(out, result)
    console.print(f"{len(runs)} runs, {len(bad)} not as expected")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    typer.run(main)
