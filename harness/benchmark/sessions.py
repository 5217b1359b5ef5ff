"""Runs sessions one after the other, until the result is known or the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.benchmark.conclusions import narrow_enough, statistic_of
from harness.benchmark.forecast import LEAST, forecast
from harness.benchmark.session import SessionRequest, Start, run_session
from harness.errors import SpecError
from harness.results.sessions import FOLDER, Session, read_sessions

__all__ = ["BenchRequest", "Beside", "Measured", "ShowProgress", "Subject", "measure", "stored"]

_LEAST = 5
"""Fewest sessions after which narrow intervals end a bench."""
_PLANNED = 8
"""Planned sessions of a budget, unless a number is requested."""
_LONGEST_S = 40.0
"""Longest session: many short sessions give more than few long ones."""

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
    """What else is measured. `all`: equality, and in the time that the sessions leave memory,
    profile and operations; `equality`; or `nothing`."""
    passes: bool = False
    """Whether memory, profile and operations are measured before the sessions, in their time."""

    def within(self, budget_s: float) -> BenchRequest:
        """The same request with another budget."""
        return replace(self, budget_s=budget_s)


@dataclass(frozen=True)
class Subject:
    """What takes turns: the arms of one case, or commands."""

    title: str
    """Their common name, for messages."""
    names: Sequence[str]
    """The reference, its control, and the others."""
    device: str
    plan: str
    """See `Session`."""
    seed: int
    start: Start
    most_steps: Callable[[], int | None]
    """Steps that each of them makes, as far as that is known before a session."""
    steps_per_turn: Callable[[], int | None] = lambda: None
    """Steps of each turn; None: enough for a measurable block."""


@dataclass(frozen=True)
class Measured:
    """The sessions of a subject."""

    sessions: Sequence[Session]
    stopped_by: str
    """Why there are no more."""


def stored(folder: Path, plan: str) -> list[Session]:
    """The sessions of a stopped bench in `folder`. Raises `SpecError` if they are of another."""
    sessions = list(read_sessions(folder))
    if any(session.plan != plan for session in sessions):
        raise SpecError(
            "--resume continues with the same arms",
            f"other arms in {folder}",
            "name another folder",
        )
    return sessions


def measure(
    subject: Subject,
    request: BenchRequest,
    before: Sequence[Session],
    folder: Path,
    deadline: float,
    show_progress: ShowProgress,
) -> Measured:
    """Run sessions after those of `before`, and store each in `folder`.

    `deadline`: by the monotonic clock. Raises as `run_session` does.
    """
    sessions = list(before)
    budget = f"the budget of {request.budget_s:.0f} s"
    while True:
        stopped_by = _enough(sessions, subject, request)
        left_s = deadline - time.monotonic()
        typical_s = max((session.took_s for session in sessions), default=0.0)
        if not stopped_by and (left_s <= 0 or left_s < 0.7 * typical_s):
            stopped_by = budget
        if stopped_by:
            return Measured(sessions, stopped_by)
        number = len(sessions) + 1
        several = max(1, (request.sessions or _PLANNED) - len(sessions))
        about = len(sessions) + (round(left_s / typical_s) if typical_s else several)
        expected = _expected(sessions, subject, request, max(about, number))

        def on_round(
            done: int, of: int, number: int = number, about: int = about, expected: str = expected
        ) -> None:
            left = max(0.0, deadline - time.monotonic())
            show_progress(
                f"{subject.title}: session {number} of at most {max(about, number)}, round {done} "
                f"of {of}, at most {left:.0f} s left{expected}"
            )

        known = subject.most_steps()
        session = run_session(
            SessionRequest(
                start=subject.start,
                number=number,
                plan=subject.plan,
                seed=subject.seed + number,
                steps=sessions[0].steps_per_turn if sessions else subject.steps_per_turn(),
                rounds=request.rounds,
                session_s=min(left_s / several, _LONGEST_S),
                deadline=deadline,
                on_round=on_round,
                most_steps=known,
            )
        )
        if session is not None:
            session.write(folder / FOLDER)
            sessions.append(session)
        elif subject.most_steps() == known:  # nothing was learned from it
            return Measured(sessions, f"{budget}, during a session")


def _expected(
    sessions: Sequence[Session], subject: Subject, request: BenchRequest, in_all: int
) -> str:
    """What the bench will be able to tell, to be added to its progress; empty if not known yet."""
    if len(sessions) < LEAST:
        return ""
    statistic = statistic_of(sessions, subject.device)
    planned = min(in_all, request.sessions or in_all)
    told = forecast(sessions, subject.names, statistic, planned, request.margin)
    return f"; {told}" if told else ""


def _enough(sessions: Sequence[Session], subject: Subject, request: BenchRequest) -> str:
    """Why no further session is needed besides the limit of the budget; empty if one is."""
    if request.sessions is not None:
        return "the requested number" if len(sessions) >= request.sessions else ""
    if len(sessions) < _LEAST:
        return ""
    name = statistic_of(sessions, subject.device)
    if narrow_enough(sessions, subject.names[0], subject.names[1:], name, request.margin):
        return "sufficiently narrow intervals"
    return ""
