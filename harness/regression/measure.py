"""The measurements of a check: traced runs, peak memory, and sessions of turns."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from harness.benchmark.arm_process import starting
from harness.benchmark.arms import STEPS_AHEAD, Arm, arms_of, plan_key
from harness.benchmark.passes import FILE, Passes, peak_allocated
from harness.benchmark.schedule import rounds_that_fit
from harness.benchmark.session import SessionRequest, run_session
from harness.benchmark.sessions import ShowProgress
from harness.benchmark.traced import TRACED_STEPS, traced_runs
from harness.benchmark.verdicts import LEAST_SESSIONS
from harness.execution.parent.plan import plan, runs_in
from harness.execution.parent.runner import run_all
from harness.regression.speeds import Speeds, speeds_of
from harness.results.record import RunRecord, write_atomically
from harness.results.sessions import FOLDER, Session
from harness.spec.case import Case, label
from harness.spec.recipe import Conventions
from harness.spec.request import RunRequest

__all__ = ["measure_memory", "measure_speeds", "trace_loops"]

_PLANNED = 8
"""Planned sessions of one measurement: many short sessions give more than few long ones."""
_OVERHEAD = 1.5
"""Duration of a turn relative to its steps: it includes waking up and other load of the machine."""


def trace_loops(
    case: Case,
    loops: Sequence[str],
    conventions: Conventions,
    made_by: Literal["run", "bench"],
    folder: Path,
    timeout_s: float,
    show_progress: ShowProgress,
) -> dict[str, RunRecord]:
    """New traced runs by loop, as long as those of the baseline.

    Raises `SpecError` if a loop refuses its recipe. A loop that fails leaves a record of that.
    """
    if made_by == "bench":
        show_progress(f"{case.name}: {TRACED_STEPS} traced steps of each loop")
        return traced_runs(arms_of(case, loops, conventions), folder, timeout_s)
    show_progress(f"{case.name}: a traced run of each loop")
    request = RunRequest(cases=(case,), loops=tuple(loops), conventions=conventions)
    runs = runs_in(folder, plan(request), {})
    records = run_all(runs, None, lambda _number, _event: None, timeout_s=timeout_s)
    return {label(run.spec): record for run, record in zip(runs, records, strict=True)}


def measure_memory(planned: Sequence[Arm], folder: Path, timeout_s: float) -> dict[str, float]:
    """Peak allocated bytes by loop; written to the folder as a bench writes its passes."""
    found = peak_allocated(planned, folder / "logs", timeout_s)
    passes = Passes(memory={name: {"peak_allocated_bytes": count} for name, count in found.items()})
    with write_atomically(folder / FILE) as temporary:
        temporary.write_text(json.dumps(asdict(passes), indent=1) + "\n", encoding="utf-8")
    return found


def measure_speeds(
    planned: Sequence[Arm],
    before: Speeds,
    folder: Path,
    number: int,
    until: float,
    deadline: float,
    timeout_s: float,
    enough: Callable[[Speeds], bool],
    moved: Callable[[Speeds], bool],
    show_progress: ShowProgress,
) -> tuple[Speeds | None, int]:
    """Run sessions from `number` on until they are enough; the speeds and the number of sessions.

    No session continues past the `deadline`. After the first `LEAST_SESSIONS`, if `moved` holds,
    no session starts that would end after `until`, which reserves time for a second measurement.
    Turns are as long as those of the baseline, so that both train on the same rows. Raises
    `RunFailed` if an arm ends or hangs.
    """
    case = planned[0].spec.case
    rounds = _rounds(planned, before, until - time.monotonic())
    sessions: list[Session] = []
    while True:
        speeds = speeds_of(sessions, planned[0].name, case.device)
        if speeds is not None and enough(speeds):
            break
        ends = time.monotonic() + max((session.took_s for session in sessions), default=0.0)
        saving = speeds is not None and len(sessions) >= LEAST_SESSIONS and moved(speeds)
        if ends >= (until if saving else deadline):
            break
        which = number + len(sessions)

        def on_round(done: int, of: int, which: int = which) -> None:
            left = max(0.0, deadline - time.monotonic())
            show_progress(
                f"{case.name}: session {which}, round {done} of {of}, at most {left:.0f} s left"
            )

        session = run_session(
            SessionRequest(
                start=starting(list(planned), folder / "logs", timeout_s),
                number=which,
                plan=plan_key(planned),
                seed=1000 * case.recipe.seed + which,
                steps=before.steps_per_turn,
                rounds=rounds,
                session_s=math.inf,
                deadline=deadline,
                on_round=on_round,
                most_steps=STEPS_AHEAD,
            )
        )
        if session is None:
            break
        session.write(folder / FOLDER)
        sessions.append(session)
    return speeds, len(sessions)


def _rounds(planned: Sequence[Arm], before: Speeds, measurement_s: float) -> int:
    """Rounds of each session: balanced, and at most as many as the baseline's sessions have."""
    steps_s = [
        statistics.median(times) * before.steps_per_turn
        for times in before.sessions[0].arms.values()
    ]
    round_s = _OVERHEAD * statistics.fmean(steps_s) * len(planned)
    return min(before.rounds, rounds_that_fit(len(planned), round_s, measurement_s / _PLANNED))
