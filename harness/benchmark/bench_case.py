"""Bench one case: traced runs for equality, passes, then sessions until the result is known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from harness.benchmark.arms import Arm, plan_key
from harness.benchmark.conclusions import REASONS, conclude, narrow_enough, statistic_of
from harness.benchmark.figures import figures_of
from harness.benchmark.passes import FILE, Passes, run_passes
from harness.benchmark.session import run_session
from harness.benchmark.traced import TRACED_STEPS, traced_runs
from harness.comparison.compare import compare
from harness.errors import SpecError
from harness.report.text.speeds import conclusion
from harness.results.benchmark import CONTROL, BenchResult
from harness.results.comparison import Comparison, incomparable
from harness.results.record import RunRecord, write_atomically
from harness.results.sessions import FOLDER, Session, read_sessions

__all__ = ["BenchRequest", "BenchedCase", "Beside", "ShowProgress", "bench_case"]

_LEAST = 5
"""Fewest sessions after which narrow intervals end a bench."""
_PLANNED = 8
"""Planned sessions of a budget, unless a number is requested."""
_LONGEST_S = 40.0
"""Longest session: many short sessions give more than few long ones."""
_PASSES_SHARE = 3
"""Passes that have not begun after this fraction (1/n) of the budget are left out."""
_REPORT_S = 1.5
"""Part of a budget that is reserved for the report."""

Beside = Literal["all", "equality", "nothing"]
ShowProgress = Callable[[str], None]


@dataclass(frozen=True)
class BenchRequest:
    """The budget of a bench, and the difference that it must detect."""

    budget_s: float = 300.0
    """Wall seconds of the whole bench, kept to within a tenth if one session fits into it."""
    sessions: int | None = None
    """Number of sessions, as far as the budget allows; None: until the intervals are narrow."""
    rounds: int | None = None
    """Rounds of each session; None: chosen from the budget."""
    margin: float = 0.02
    """The relative difference that does not matter."""
    timeout_s: float = 300.0
    """A turn or a start that takes longer counts as hanging."""
    beside: Beside = "all"
    """What else is measured. `all`: equality, memory, profile and operations; `equality`; or
    `nothing`."""

    def within(self, budget_s: float) -> BenchRequest:
        """The same request with another budget."""
        return replace(self, budget_s=budget_s)


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
    sessions = list(read_sessions(folder))
    if any(session.plan != plan for session in sessions):
        raise SpecError(
            "--resume continues with the same arms",
            f"other arms in {folder}",
            "name another folder",
        )
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
    if request.beside == "all":
        until = time.monotonic() + request.budget_s / _PASSES_SHARE
        passes = _passes(
            arms, folder, request, until, lambda what: show_progress(f"{case.name}: {what}")
        )
    stopped_by = ""
    while not stopped_by:
        stopped_by = _enough(sessions, arms, request)
        left_s = deadline - time.monotonic()
        typical_s = max((session.took_s for session in sessions), default=0.0)
        if not stopped_by and (left_s <= 0 or left_s < 0.7 * typical_s):
            stopped_by = f"the budget of {request.budget_s:g} s"
        if stopped_by:
            break
        number = len(sessions) + 1
        several = max(1, (request.sessions or _PLANNED) - len(sessions))
        about = len(sessions) + (round(left_s / typical_s) if typical_s else several)

        def on_round(done: int, of: int, number: int = number, about: int = about) -> None:
            left = max(0.0, deadline - time.monotonic())
            show_progress(
                f"{case.name}: session {number} of at most {max(about, number)}, round {done} of "
                f"{of}, at most {left:.0f} s left"
            )

        session = run_session(
            arms,
            number=number,
            plan=plan,
            seed=1000 * case.recipe.seed + number,
            steps=sessions[0].steps_per_turn if sessions else None,
            rounds=request.rounds,
            session_s=min(left_s / several, _LONGEST_S),
            deadline=deadline,
            logs=folder / "logs",
            timeout_s=request.timeout_s,
            on_round=on_round,
        )
        if session is None:
            stopped_by = f"the budget of {request.budget_s:g} s, during a session"
        else:
            session.write(folder / FOLDER)
            sessions.append(session)
    took_s = time.monotonic() - began
    labelled = tuple(kept.items())
    comparisons, result = _concluded(arms, request, sessions, equality, passes, stopped_by, took_s)
    return BenchedCase(comparisons, result, labelled, passes)


def _concluded(
    arms: Sequence[Arm],
    request: BenchRequest,
    sessions: Sequence[Session],
    equality: Mapping[str, Comparison],
    passes: Passes,
    stopped_by: str,
    took_s: float,
) -> tuple[tuple[Comparison, ...], BenchResult | None]:
    reference, case = arms[0], arms[0].spec.case
    candidates = [arm.name for arm in arms[1:] if arm.name != CONTROL]
    if len(sessions) < 2:
        count = "no session fits" if not sessions else "only 1 session fits"
        why = f"{count} into {request.budget_s:g} s; raise the budget"
        return tuple(
            incomparable(case.name, reference.name, name, why) for name in candidates
        ), None
    statistic = statistic_of(sessions, case.device)
    found = conclude(
        case.name, sessions, reference.name, candidates, statistic, request.margin, equality
    )
    result = BenchResult(
        statistic=statistic,
        reason=REASONS[statistic],
        margin=request.margin,
        sessions=len(sessions),
        rounds=max(session.rounds for session in sessions),
        steps_per_turn=sessions[0].steps_per_turn,
        control_ratio=found.control.ratio,
        control_interval=found.control.interval,
        control_why_not=found.control.why_not,
        control_caution=found.control.caution,
        arms=tuple(figures_of(arm, reference, sessions, passes) for arm in arms),
        peak_flops_per_s=passes.peak_flops_per_s.get(reference.name),
        took_s=took_s,
        stopped_by=stopped_by,
    )
    result = result.model_copy(update={"conclusion": conclusion(found.comparisons, result)})
    return found.comparisons, result


def _enough(sessions: Sequence[Session], arms: Sequence[Arm], request: BenchRequest) -> str:
    """Why no further session is needed besides the limit of the budget; empty if one is."""
    if request.sessions is not None:
        return "the requested number" if len(sessions) >= request.sessions else ""
    if len(sessions) < _LEAST:
        return ""
    names = [arm.name for arm in arms]
    name = statistic_of(sessions, arms[0].spec.case.device)
    if narrow_enough(sessions, names[0], names[1:], name, request.margin):
        return "sufficiently narrow intervals"
    return ""


def _passes(
    arms: Sequence[Arm],
    folder: Path,
    request: BenchRequest,
    until: float,
    show_progress: ShowProgress,
) -> Passes:
    """The passes of a stopped bench in this folder, or new ones, which are stored there."""
    path = folder / FILE
    if path.is_file():
        return Passes(**json.loads(path.read_text(encoding="utf-8")))
    found = run_passes(arms, folder / "logs", request.timeout_s, until, show_progress)
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return found
