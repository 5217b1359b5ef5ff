"""One case benched: traced runs for equality, passes, then sessions until enough is known."""

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
"""Sessions before the width of intervals may end a bench."""
_PLANNED = 8
"""Sessions that a budget is cut into, where nobody says how many."""
_LONGEST_S = 40.0
"""Of a session: more of them tell more than longer ones do."""
_PASSES_SHARE = 3
"""What the passes have not done after this part of a budget is left undone."""
_REPORT_S = 1.5
"""What is kept of a budget for the report."""

Beside = Literal["all", "equality", "nothing"]
ShowProgress = Callable[[str], None]


@dataclass(frozen=True)
class BenchRequest:
    """How much a bench may take, and what it has to tell apart."""

    budget_s: float = 300.0
    """Wall seconds of everything, kept to within a tenth where one session fits into it."""
    sessions: int | None = None
    """Exactly so many, as far as the budget goes; None: until the intervals are narrow."""
    rounds: int | None = None
    """Of each session; None: as many as make good use of the budget."""
    margin: float = 0.02
    """The relative difference that does not matter."""
    timeout_s: float = 300.0
    """A turn or a start that takes longer is taken to hang."""
    beside: Beside = "all"
    """What else is looked at: equality, memory, profile and operations; equality; or nothing."""

    def within(self, budget_s: float) -> BenchRequest:
        """The same in so many seconds."""
        return replace(self, budget_s=budget_s)


@dataclass(frozen=True)
class BenchedCase:
    """What became of one case."""

    comparisons: tuple[Comparison, ...]
    result: BenchResult | None
    """None where too few sessions fitted into the budget."""
    records: tuple[tuple[str, RunRecord], ...]
    """Of the traced runs, by arm."""
    passes: Passes


def bench_case(
    arms: Sequence[Arm],
    asked: BenchRequest,
    folder: Path,
    records: Path,
    began: float,
    show_progress: ShowProgress,
    equality: Mapping[str, Comparison] | None = None,
) -> BenchedCase:
    """Bench arms of one case, the first of which is the reference.

    `folder`: where its sessions are or will be. `began`: when its budget began, by the monotonic
    clock. `equality`: by arm, how it compares with the reference value by value, where that is
    known already; None: it is looked at here, if at all. Raises `SpecError` where an arm refuses
    its recipe or where sessions of another bench are in the folder, `RunFailed` where one ends or
    hangs.
    """
    deadline = began + asked.budget_s - _REPORT_S
    reference, case = arms[0], arms[0].spec.case
    plan = plan_key(arms)
    sessions = list(read_sessions(folder))
    if any(session.plan != plan for session in sessions):
        raise SpecError(
            "--resume goes on with the same arms", f"others in {folder}", "name another folder"
        )
    kept: dict[str, RunRecord] = {}
    equality = equality or {}
    passes = Passes()
    if asked.beside != "nothing" and not equality:
        show_progress(f"{case.name}: {TRACED_STEPS} traced steps of each arm")
        kept = traced_runs(arms, records, asked.timeout_s)
        equality = {
            name: compare(kept[reference.name], record, (reference.name, name))
            for name, record in kept.items()
            if name != reference.name
        }
    if asked.beside == "all":
        until = time.monotonic() + asked.budget_s / _PASSES_SHARE
        passes = _passes(
            arms, folder, asked, until, lambda what: show_progress(f"{case.name}: {what}")
        )
    stopped_by = ""
    while not stopped_by:
        stopped_by = _enough(sessions, arms, asked)
        left_s = deadline - time.monotonic()
        typical_s = max((session.took_s for session in sessions), default=0.0)
        if not stopped_by and (left_s <= 0 or left_s < 0.7 * typical_s):
            stopped_by = f"the budget of {asked.budget_s:g} s"
        if stopped_by:
            break
        number = len(sessions) + 1
        several = max(1, (asked.sessions or _PLANNED) - len(sessions))
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
            rounds=asked.rounds,
            session_s=min(left_s / several, _LONGEST_S),
            deadline=deadline,
            logs=folder / "logs",
            timeout_s=asked.timeout_s,
            on_round=on_round,
        )
        if session is None:
            stopped_by = f"the budget of {asked.budget_s:g} s, amid a session"
        else:
            session.write(folder / FOLDER)
            sessions.append(session)
    took_s = time.monotonic() - began
    labelled = tuple(kept.items())
    comparisons, result = _concluded(arms, asked, sessions, equality, passes, stopped_by, took_s)
    return BenchedCase(comparisons, result, labelled, passes)


def _concluded(
    arms: Sequence[Arm],
    asked: BenchRequest,
    sessions: Sequence[Session],
    equality: Mapping[str, Comparison],
    passes: Passes,
    stopped_by: str,
    took_s: float,
) -> tuple[tuple[Comparison, ...], BenchResult | None]:
    reference, case = arms[0], arms[0].spec.case
    candidates = [arm.name for arm in arms[1:] if arm.name != CONTROL]
    if len(sessions) < 2:
        why = f"{len(sessions)} sessions fit into {asked.budget_s:g} s; raise the budget"
        return tuple(
            incomparable(case.name, reference.name, name, why) for name in candidates
        ), None
    statistic = statistic_of(sessions, case.device)
    found = conclude(
        case.name, sessions, reference.name, candidates, statistic, asked.margin, equality
    )
    result = BenchResult(
        statistic=statistic,
        reason=REASONS[statistic],
        margin=asked.margin,
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


def _enough(sessions: Sequence[Session], arms: Sequence[Arm], asked: BenchRequest) -> str:
    """Why there need be no more sessions, but for the budget; empty: there need be."""
    if asked.sessions is not None:
        return "the number asked for" if len(sessions) >= asked.sessions else ""
    if len(sessions) < _LEAST:
        return ""
    names = [arm.name for arm in arms]
    name = statistic_of(sessions, arms[0].spec.case.device)
    if narrow_enough(sessions, names[0], names[1:], name, asked.margin):
        return "intervals that are narrow enough"
    return ""


def _passes(
    arms: Sequence[Arm],
    folder: Path,
    asked: BenchRequest,
    until: float,
    show_progress: ShowProgress,
) -> Passes:
    """As an earlier bench of this folder made them, or made now and kept."""
    path = folder / FILE
    if path.is_file():
        return Passes(**json.loads(path.read_text(encoding="utf-8")))
    found = run_passes(arms, folder / "logs", asked.timeout_s, until, show_progress)
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return found
