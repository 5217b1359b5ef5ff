"""`harness.run(...)`: the command `harness run`, from Python or a notebook.

A program prints nothing by it; a notebook shows where the runs are. The report that it returns is
shown as text, and as a page in a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api.function_loops import Loop, loop_names
from harness.api.progress import progress_console
from harness.api.shown import ShownReport, shown
from harness.comparison.run import run_cases
from harness.diagnosis.localize import AFFORDABLE_S, localize_report
from harness.spec.case import Case
from harness.spec.recipe import LAUNCHERS, build
from harness.spec.request import DEFAULT_LOOPS, RunRequest

__all__ = ["run"]


def run(
    case: str | Case = "paraphrase",
    *,
    loops: Loop | Sequence[Loop] = DEFAULT_LOOPS,
    device: str | None = None,
    devices: Sequence[str] | None = None,
    conventions: str = "matched",
    seeds: int | None = None,
    margins: Mapping[str, float | str] | None = None,
    resume_at: int | None = None,
    processes: int | None = None,
    launcher: str = LAUNCHERS[0],
    noise: int | None = None,
    localize: bool | None = None,
    dig: bool = False,
    jobs: int | None = None,
    out: Path | str | None = None,
    **settings: Any,
) -> ShownReport:
    """Train `case` by each loop, compare each pair, and return the report.

    `case`: a name, a path that ends in .toml or .py, or a `Case`. `loops`: names, paths of your
    own, or functions `train(workload, recipe, probe)`; the first is the reference. `devices`:
    instead of `device`, to compare each loop with itself on each of them. `settings`: recipe fields
    and workload options, as for `--set`. The other arguments are the options of `harness run`.
    `localize`: None: only if its replays are short. `dig`: the name of `localize` before 0.2.0.
    `out`: a new folder; None: one in `reports/`. The report's `folder` is where the records and
    pages are.

    Raises `SpecError` and leaves nothing behind if an argument does not fit.
    """
    request = build(
        RunRequest,
        {
            "spelling": "python",
            "cases": (case,),
            "loops": loop_names(loops),
            "device": device,
            "devices": [devices] if isinstance(devices, str) else devices,
            "conventions": conventions,
            "seeds": seeds,
            "margins": margins or {},
            "resume_at": resume_at,
            "processes": processes,
            "launcher": launcher,
            "noise": noise,
            "localize": True if dig else localize,
            "jobs": jobs,
            "out": out,
            "settings": settings,
        },
    )
    console = progress_console()
    report, folder = run_cases(request, console)
    if request.localizes:
        within_s = None if request.localize else AFFORDABLE_S
        report = localize_report(report, folder, jobs, console, within_s=within_s)
    return shown(report, folder)
