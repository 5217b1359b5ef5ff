"""`harness.bench(...)`: the command `harness bench`, from Python or a notebook."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.api.function_loops import Loop, loop_names
from harness.api.progress import progress_console
from harness.api.shown import ShownReport, shown
from harness.benchmark.arms import arms_of
from harness.benchmark.bench import bench_cases
from harness.benchmark.sessions import BenchRequest, Beside
from harness.benchmark.verdicts import LEAST_SESSIONS
from harness.errors import SpecError, check_known
from harness.results.metrics import Margin
from harness.spec.case import Case
from harness.spec.recipe import build
from harness.spec.request import DEFAULT_LOOPS, RunRequest

__all__ = ["bench"]


def bench(
    case: str | Case = "paraphrase",
    *,
    loops: Loop | Sequence[Loop] = DEFAULT_LOOPS,
    arms: Sequence[str] = (),
    device: str | None = None,
    conventions: str = "matched",
    budget_s: float = BenchRequest.budget_s,
    sessions: int | None = None,
    rounds: int | None = None,
    beside: Beside = BenchRequest.beside,
    passes: bool = False,
    margin: float | str = BenchRequest.margin,
    timeout_s: float = BenchRequest.timeout_s,
    resume: bool = False,
    out: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> ShownReport:
    """Measure how fast the loops are, and return the report.

    `case`, `loops`, `settings` and `out`: as for `harness.run`. `arms`: further arms, as for
    `--arm`. `budget_s`: wall time of the whole bench. `margin`: the relative difference that does
    not matter, as 0.02 or "2%". The other arguments are the options of `harness bench`.

    Raises `SpecError` and leaves nothing behind if an argument does not fit, and `RunFailed` if an
    arm ends or hangs.
    """
    request = build(
        RunRequest,
        {
            "spelling": "python",
            "cases": (case,),
            "loops": loop_names(loops),
            "device": device,
            "conventions": conventions,
            "resume": resume,
            "out": out,
            "settings": settings,
        },
    )
    check_known("value for beside", beside, ("all", "equality", "nothing"))
    if budget_s <= 0 or timeout_s <= 0:
        raise SpecError("a bench takes time", f"{min(budget_s, timeout_s)} s", "raise it")
    if (sessions or LEAST_SESSIONS) < LEAST_SESSIONS or (rounds or 1) < 1:
        rule = f"a bench has {LEAST_SESSIONS} sessions or more, of a round or more"
        raise SpecError(rule, f"sessions={sessions}, rounds={rounds}", "leave both out")
    tolerated = Margin.parse(str(margin)).value
    wanted = BenchRequest(budget_s, sessions, rounds, tolerated, timeout_s, beside, passes)
    planned = {
        one.name: arms_of(one, request.loops, request.conventions, arms)
        for one in request.base_cases
    }
    words = ["harness", "bench", *request.command_line()[2:], "--budget", f"{budget_s:g}"]
    report, folder = bench_cases(
        planned, wanted, None if out is None else Path(out), words, progress_console(), resume
    )
    return shown(report, folder)
