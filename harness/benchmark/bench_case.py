"""Bench one case: traced runs for equality, then sessions until the result is known, then passes.

The passes tell memory, the parts of a step and its operations. They are made in the time that the
sessions leave, or before them if they are requested.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.benchmark.arm_process import starting
from harness.benchmark.arms import STEPS_AHEAD, Arm, plan_key
from harness.benchmark.figures import figures_of
from harness.benchmark.passes import FILE, Passes, run_passes
from harness.benchmark.result import result_of
from harness.benchmark.sessions import BenchRequest, ShowProgress, Subject, measure, stored
from harness.benchmark.traced import TRACED_STEPS, traced_runs
from harness.comparison.compare import compare
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison
from harness.results.record import RunRecord, write_atomically

__all__ = ["BenchedCase", "bench_case"]

_PASSES_SHARE = 3
"""Requested passes that have not begun after this fraction (1/n) of the budget are left out."""
_REPORT_S = 1.5
"""Part of a budget that is reserved for the report."""


@dataclass(frozen=True)
class BenchedCase:
    """The result of one case."""

    comparisons: tuple[Comparison, ...]
    result: BenchResult | None
    """None if too few sessions fit into the budget."""
    records: tuple[tuple[str, RunRecord], ...]
    """Records of the traced runs, by arm."""
    passes: Passes


def bench_case(
    arms: Sequence[Arm],
    request: BenchRequest,
    folder: Path,
    records: Path,
    began: float,
    show_progress: ShowProgress,
    equality: Mapping[str, Comparison] | None = None,
) -> BenchedCase:
    """Bench the arms of one case; the first arm is the reference.

    `folder`: for its sessions. `began`: start of its budget, by the monotonic clock. `equality`:
    by arm, its comparison with the reference value by value, if known; None: it is measured here if
    requested. Raises `SpecError` if an arm refuses its recipe or if the folder holds sessions of
    another bench, `RunFailed` if an arm ends or hangs.
    """
    deadline = began + request.budget_s - _REPORT_S
    reference, case = arms[0], arms[0].spec.case
    plan = plan_key(arms)
    sessions = stored(folder, plan)
    kept: dict[str, RunRecord] = {}
    equality = equality or {}
    passes = Passes()
    if request.beside != "nothing" and not equality:
        show_progress(f"{case.name}: {TRACED_STEPS} traced steps of each arm")
        kept = traced_runs(arms, records, request.timeout_s)
        equality = {
            name: compare(kept[reference.name], record, (reference.name, name))
            for name, record in kept.items()
            if name != reference.name
        }

    def run(until: float, expected_s: float) -> Passes:
        def on_pass(what: str) -> None:
            show_progress(f"{case.name}: {what}")

        return _passes(arms, folder, request.timeout_s, until, expected_s, on_pass)

    if request.passes:
        passes = run(time.monotonic() + request.budget_s / _PASSES_SHARE, 0.0)
    subject = Subject(
        title=case.name,
        names=[arm.name for arm in arms],
        device=case.device,
        plan=plan,
        seed=1000 * case.recipe.seed,
        start=starting(list(arms), folder / "logs", request.timeout_s),
        most_steps=lambda: STEPS_AHEAD,
    )
    measured = measure(subject, request, sessions, folder, deadline, show_progress)
    if request.beside == "all" and not request.passes:
        # A session starts as many processes as the passes of an arm, or fewer.
        passes = run(deadline, max((one.took_s for one in measured.sessions), default=0.0))
    took_s = time.monotonic() - began
    comparisons, result = result_of(
        subject,
        measured,
        request,
        equality,
        lambda: [figures_of(arm, reference, measured.sessions, passes) for arm in arms],
        passes.peak_flops_per_s.get(reference.name),
        took_s,
    )
    return BenchedCase(comparisons, result, tuple(kept.items()), passes)


def _passes(
    arms: Sequence[Arm],
    folder: Path,
    timeout_s: float,
    until: float,
    expected_s: float,
    on_pass: ShowProgress,
) -> Passes:
    """The passes of a stopped bench in this folder, or new ones, which are stored there."""
    path = folder / FILE
    if path.is_file():
        return Passes(**json.loads(path.read_text(encoding="utf-8")))
    found = run_passes(arms, folder / "logs", timeout_s, until, expected_s, on_pass)
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return found
