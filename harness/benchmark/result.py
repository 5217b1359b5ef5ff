"""The result of a bench from its sessions: comparisons, the figures of the arms, a conclusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.benchmark.conclusions import REASONS, conclude, statistic_of
from harness.benchmark.sessions import BenchRequest, Measured, Subject
from harness.report.text.speeds import conclusion, values_agree
from harness.results.benchmark import CONTROL, ArmFigures, BenchResult
from harness.results.comparison import Comparison, incomparable

__all__ = ["result_of"]


def result_of(
    subject: Subject,
    measured: Measured,
    request: BenchRequest,
    equality: Mapping[str, Comparison],
    figures: Callable[[], Sequence[ArmFigures]],
    peak_flops_per_s: float | None,
    took_s: float,
) -> tuple[tuple[Comparison, ...], BenchResult | None]:
    """A comparison of each candidate with the reference; no result if there are too few sessions.

    `equality`: by candidate, its comparison with the reference value by value. `figures`: computes
    those of each arm.
    """
    reference, sessions = subject.names[0], measured.sessions
    candidates = [name for name in subject.names[1:] if name != CONTROL]
    if len(sessions) < 2:
        count = "no session fits" if not sessions else "only 1 session fits"
        why = f"{count} into {request.budget_s:.0f} s; raise the budget"
        return tuple(
            incomparable(subject.title, reference, name, why + _values(equality.get(name)))
            for name in candidates
        ), None
    statistic = statistic_of(sessions, subject.device)
    found = conclude(
        subject.title, sessions, reference, candidates, statistic, request.margin, equality
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
        arms=tuple(figures()),
        peak_flops_per_s=peak_flops_per_s,
        took_s=took_s,
        stopped_by=measured.stopped_by,
    )
    result = result.model_copy(update={"conclusion": conclusion(found.comparisons, result)})
    return found.comparisons, result


def _values(values: Comparison | None) -> str:
    """What is known of the values of a pair whose speed is not."""
    return "" if values is None else f"; values: {values_agree(values)}"
