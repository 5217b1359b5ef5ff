"""The proof on one GPU, in order of value, within 8 minutes: `make gpu`.

    python -m studies.gpu --out FOLDER

Each part runs in a process of its own, with a limit of time: three loops, digests beside memory
bandwidth, CPU against GPU with random numbers of the host, what a trace costs, planted faults, fp16
and bf16 and compiled, resume, a bench with a planted 5%, and the matrix in the time that is left.
`result.json` and `README.md` state each part as `passed`, `failed`, or `not run` with the reason. A
part that did not end is not run, whatever it had found. `--parts` chooses some of them.

Published: `reports/published/gpu`. The exit code is 0 if every part passed, 1 if one failed, and 4
if none failed but one was not run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from rich.console import Console

from harness.execution.child.metadata import describe
from harness.results.record import write_atomically
from studies.study import write_result

__all__ = ["PARTS", "Part", "exit_code", "page", "run_part"]

_BUDGET_S = 480
_RESULT = "part.json"

Status = Literal["passed", "failed", "not run"]


@dataclass(frozen=True)
class Part:
    """One part of the proof."""

    module: str
    function: str
    about: str
    limit_s: int


PARTS = {
    "loops": Part("checks", "loops", "three loops on the embedded case are identical", 60),
    "digests": Part("costs", "digests", "a digest costs at most twice one read of memory", 40),
    "devices": Part("checks", "cpu_against_device", "CPU against GPU: rounding, and not more", 110),
    "traces": Part("costs", "traces", "full traces at most 1.06, weights at most 1.03", 120),
    "faults": Part("checks", "faults", "ten planted faults at their places", 80),
    "precisions": Part("checks", "precisions", "fp16, bf16 and compiled loops agree", 100),
    "resume": Part("checks", "resumed", "resumed runs are identical with whole ones", 60),
    "bench": Part("costs", "bench", "a loop slowed by 5% is called slower", 110),
    "matrix": Part("checks", "matrix", "every case of the matrix agrees", 480),
}
"""By name, in order of value."""


def run_part(name: str, device: str, folder: Path, limit_s: float, jobs: int) -> dict[str, Any]:
    """Run a part in a process of its own; its status, with figures or the reason why not."""
    began = time.monotonic()
    row: dict[str, Any] = {"about": PARTS[name].about, "status": "not run", "wall_s": 0.0}
    if limit_s <= 0:
        return row | {"reason": "no time was left"}
    if device == "cuda" and not torch.cuda.is_available():
        return row | {"reason": "no CUDA device"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RESULT).unlink(missing_ok=True)
    words = ["-m", "studies.gpu_parts.main", name, device, str(folder), str(jobs)]
    try:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return row | {"reason": f"it did not end within {limit_s:.0f} s", "wall_s": limit_s}
    row["wall_s"] = time.monotonic() - began
    if done.returncode or not (folder / _RESULT).is_file():
        last = (done.stderr.strip().splitlines() or ["it left no result"])[-1]
        return row | {"reason": f"exit code {done.returncode}: {last}"}
    figures = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    return row | {"status": "passed" if figures["holds"] is True else "failed", "figures": figures}


def exit_code(rows: Mapping[str, Mapping[str, Any]]) -> int:
    """0: every part passed; 1: one failed; 4: one was not run."""
    found = {row["status"] for row in rows.values()}
    return 1 if "failed" in found else 0 if found == {"passed"} else 4


def page(result: Mapping[str, Any]) -> str:
    """The result as a page."""
    rows = result["parts"]
    counts = {
        status: sum(row["status"] == status for row in rows.values())
        for status in ("passed", "failed", "not run")
    }
    device = result["environment"].get("device_name", "no GPU")
    lines = [
        "# gpu",
        "",
        f"Parts on {device}: {', '.join(f'{n} {status}' for status, n in counts.items())}.",
        "",
        "Made by `python -m studies.gpu --out FOLDER`, which `make gpu` runs.",
        "",
        "| part | what must hold | status | seconds | why not |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [name, row["about"], row["status"], f"{row['wall_s']:.0f}", row.get("reason", "")]
        lines.append(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main(
    out: Annotated[Path, typer.Option(help="The folder for the records and the result.")],
    parts: Annotated[str, typer.Option(help="Names of parts, with commas; default: all.")] = "",
    budget: Annotated[int, typer.Option(help="Seconds for all parts.")] = _BUDGET_S,
    jobs: Annotated[int, typer.Option(help="Trainings that run at once.")] = 6,
) -> None:
    """Run the parts in order until the budget is used up, and write one report."""
    console = Console()
    names = [name for name in parts.split(",") if name] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        console.print(f"a part is one of {', '.join(PARTS)} (met {unknown[0]})", markup=False)
        raise typer.Exit(2)
    ends = time.monotonic() + budget
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        limit_s = min(PARTS[name].limit_s, ends - time.monotonic())
        rows[name] = run_part(name, "cuda", out / name, limit_s, jobs)
        shown = f"{name}: {rows[name]['status']} {rows[name].get('reason', '')}"
        console.print(shown, markup=False)
        result = {"environment": describe(torch.device("cuda"), repository={}), "parts": rows}
        write_result(out, result)  # after each part: what was found outlives a kill
        with write_atomically(out / "README.md") as path:
            path.write_text(page(result), encoding="utf-8")
    raise typer.Exit(exit_code(rows))


if __name__ == "__main__":
    typer.run(main)
