"""Draw conclusions: sessions and traced runs become comparisons with outcomes.

On an accelerator an outcome is based on wall time. On a CPU it is based on own time: wall time
without the time in which the training thread was ready to run and the machine ran another process.
A loop that computes more or that waits (sleeps, reads, holds a lock) has a larger own time. A busy
neighbour hardly changes it. CPU time would miss the waiting, and wall time includes the neighbour.
Wall and CPU time are reported too. If wall time contradicts own time, the result is inconclusive.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.benchmark.intervals import Sample, Value, session_means
from harness.benchmark.verdicts import Control, Speed, control_of, decide_outcomes
from harness.results.benchmark import CONTROL
from harness.results.comparison import Comparison, Finding, Outcome
from harness.results.metrics import metric
from harness.results.sessions import Block, Session

__all__ = [
    "REASONS",
    "Conclusions",
    "conclude",
    "narrow_enough",
    "session_ratios",
    "statistic_of",
]

_VALUES: dict[str, Value] = {
    "own_step_s": lambda block: block.own_s,
    "step_s": lambda block: block.wall_s,
    "cpu_step_s": lambda block: block.cpu_s,
}
REASONS = {
    "own_step_s": "own time is wall time without time lost to other processes: it includes a "
    "loop's computing and waiting, and a busy neighbour hardly changes it",
    "step_s": "wall time, since this device or kernel does not report time lost to other processes",
}
_ENOUGH = 3  # a half-width below margin / 3 needs no further session


@dataclass(frozen=True)
class Conclusions:
    """The comparisons of a bench, and the state of its control."""

    comparisons: tuple[Comparison, ...]
    control: Control


def statistic_of(sessions: Sequence[Session], device: str) -> str:
    """The metric on which outcomes are based."""
    known = all(block.delay_s is not None for session in sessions for block in session.blocks)
    return "own_step_s" if device == "cpu" and known else "step_s"


def narrow_enough(
    sessions: Sequence[Session], reference: str, others: Sequence[str], name: str, margin: float
) -> bool:
    """Whether further sessions would add little: by the widths of the intervals, never by their
    position."""
    for other in others:
        speed = decide_outcomes({other: _sample(sessions, reference, other, name)}, margin)[other]
        low, high = speed.interval
        if high / low > (1 + margin / _ENOUGH) ** 2:
            return False
    return True


def session_ratios(
    sessions: Sequence[Session], reference: str, others: Sequence[str], name: str
) -> list[list[float]]:
    """For each of the others, its log ratio to the reference in each session."""
    return [session_means(sessions, reference, other, _VALUES[name]) for other in others]


def conclude(
    case: str,
    sessions: Sequence[Session],
    reference: str,
    candidates: Sequence[str],
    statistic: str,
    margin: float,
    equality: Mapping[str, Comparison],
) -> Conclusions:
    """A comparison for each candidate. There must be two or more sessions.

    `equality`: by candidate, its comparison with the reference value by value. A missing one is
    reported as a doubt.
    """
    names = [statistic, *(name for name in _VALUES if name != statistic)]
    if statistic == "step_s":
        names.remove("own_step_s")
    control = control_of(_sample(sessions, reference, CONTROL, statistic), margin)
    speeds = {
        name: decide_outcomes(
            {c: _sample(sessions, reference, c, name) for c in candidates}, margin, control.least
        )
        for name in names
    }
    session_s = statistics.fmean(session.took_s for session in sessions)
    comparisons = []
    for candidate in candidates:
        by_metric = {name: speeds[name][candidate] for name in names}
        outcome: Outcome = by_metric[statistic].outcome
        doubts = [control.why_not] if control.why_not else []
        wall = by_metric["step_s"]
        if _contradict(outcome, wall.outcome):
            doubts.append(
                f"wall time is {wall.outcome} ({_interval(wall)}) but {metric(statistic).title} is "
                f"{outcome}: no conclusion"
            )
        if doubts:
            outcome = "inconclusive"
        if control.caution:
            doubts.append(control.caution)
        values = equality.get(candidate)
        if values is None:
            doubts.append("the values of the two were not compared")
        elif values.outcome != "identical":
            doubts.append(f"the values of the two are not shown to be equal: {values.outcome}")
        findings = tuple(
            _finding(name, by_metric[name], sessions, reference, candidate, margin, session_s)
            for name in names
        )
        if control.why_not:
            findings = tuple(f.model_copy(update={"outcome": "inconclusive"}) for f in findings)
        comparisons.append(
            Comparison(
                case=case,
                reference=reference,
                candidate=candidate,
                outcome=outcome,
                steps=_steps(sessions, candidate),
                equality=values.outcome if values else "inconclusive",
                first_divergence=values.first_divergence if values else None,
                settings=values.settings if values else (),
                facts=values.facts if values else (),
                causes=values.causes if values else (),
                stages=values.stages if values else (),
                findings=findings,
                doubts=tuple(doubts),
            )
        )
    return Conclusions(tuple(comparisons), control)


def _sample(sessions: Sequence[Session], one: str, two: str, name: str) -> Sample:
    return Sample(tuple(session_means(sessions, one, two, _VALUES[name])))


def _steps(sessions: Sequence[Session], arm: str) -> int:
    return sum(b.steps for session in sessions for b in session.blocks if b.arm == arm)


def _contradict(one: str, two: str) -> bool:
    return "inconclusive" not in (one, two) and one != two


def _finding(
    name: str,
    speed: Speed,
    sessions: Sequence[Session],
    reference: str,
    candidate: str,
    margin: float,
    session_s: float,
) -> Finding:
    needed = speed.sessions_needed
    uneven = any(_samples(one, reference) != _samples(one, candidate) for one in sessions)
    shown = name.replace("step", "sample") if uneven else name
    return Finding(
        metric=shown,
        unit=metric(shown).unit,
        outcome=speed.outcome,
        reference=_median(sessions, reference, _VALUES[name], uneven),
        candidate=_median(sessions, candidate, _VALUES[name], uneven),
        ratio=speed.ratio,
        interval=speed.interval,
        confidence=1 - 2 * speed.level,
        margin=margin,
        smallest_visible=speed.smallest_visible,
        needed=needed,
        needed_s=None if needed is None else needed * session_s,
    )


def _median(sessions: Sequence[Session], arm: str, value: Value, of_samples: bool) -> float:
    """Median over the blocks of the seconds per step, or per sample."""
    blocks: list[Block] = [b for session in sessions for b in session.blocks if b.arm == arm]
    return statistics.median(value(b) / (b.samples if of_samples else b.steps) for b in blocks)


def _samples(session: Session, arm: str) -> int:
    return sum(block.samples for block in session.blocks if block.arm == arm)


def _interval(speed: Speed) -> str:
    low, high = speed.interval
    return f"{low - 1:+.1%} to {high - 1:+.1%}"
