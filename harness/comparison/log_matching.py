"""Matches each quantity of a log with what a run would have logged, by the reading that fits best.

It compares values; `harness.comparison.logs` concludes from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.comparison.log_readings import Computed, LoggedRun, Reading, RecordedRun
from harness.results.imported.log import Log, Series

__all__ = ["Matched", "MatchedLog", "match_log"]

_MOST_CHECKPOINTS = 50
"""Checkpoints within a window that are tried as its beginning."""


@dataclass(frozen=True)
class Matched:
    """One logged quantity, compared by one reading."""

    name: str
    stage: str
    series: Series
    reading: str
    shift: int
    steps: tuple[int, ...] = ()
    """Steps of the log at which both have a value."""
    differing: tuple[tuple[int, float, float], ...] = ()
    """Step of the log, logged value and computed value."""
    not_finite: tuple[int, ...] = ()
    """Steps of the log at which a value is not finite."""
    resumed: tuple[int, ...] = ()
    """Checkpoints from which the training must have been resumed for the values to agree."""

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Sort key: the best reading is the highest."""
        first = self.differing[0][0] if self.differing else math.inf
        return bool(self.steps), not self.differing, first


@dataclass(frozen=True)
class MatchedLog:
    """Every logged quantity, compared with the steps of the log moved by one number."""

    found: list[Matched] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return bool(self.found) and not any(one.differing for one in self.found)


def match_log(log: Log, run: RecordedRun | LoggedRun) -> MatchedLog:
    """The best readings; the steps count from 0 if only then everything agrees."""
    result = _shifted(log, run, 0)
    if log.kind == "trainer_state" or isinstance(run, LoggedRun) or result.agrees:
        return result
    from_zero = _shifted(log, run, 1)
    starts_at_zero = any(series.steps[0] == 0 for series in log.training.values())
    return from_zero if from_zero.agrees or (starts_at_zero and from_zero.found) else result


def _shifted(log: Log, run: RecordedRun | LoggedRun, shift: int) -> MatchedLog:
    result = MatchedLog()
    for quantity, series in log.training.items():
        _add(result, quantity, quantity, series, run.training(quantity, log), shift)
    for name, series in log.evaluations.items():
        _add(result, f"eval_{name}", "evaluation", series, run.metric(name), shift)
    return result


def _add(
    result: MatchedLog,
    name: str,
    stage: str,
    series: Series,
    readings: Iterable[Reading],
    shift: int,
) -> None:
    matched = [_match(name, stage, series, reading, shift) for reading in readings]
    best = max(matched, key=lambda one: one.rank, default=None)  # the first of equals
    if best is None or not best.steps:
        result.not_compared.append(name.removeprefix("eval_"))
    else:
        result.found.append(best)


def _match(name: str, stage: str, series: Series, reading: Reading, shift: int) -> Matched:
    steps, differing, not_finite, resumed = [], [], [], []
    before = -shift
    for step, logged, half in zip(series.steps, series.values, series.half_units, strict=True):
        start, before = before + shift, step
        computed = reading.compute(start, step + shift)
        if computed is None:
            continue
        steps.append(step)
        if not (computed.all_finite and math.isfinite(logged)):
            not_finite.append(step)
        if _agree(logged, half, computed):
            continue
        checkpoints = [
            place
            for place in _checkpoints(start, step, reading.resumes)
            if _agree(logged, half, reading.compute(place, step))
        ]
        if checkpoints:
            resumed.append(checkpoints[0])
        else:
            differing.append((step, logged, computed.value))
    return Matched(
        name,
        stage,
        series,
        reading.words,
        shift,
        tuple(steps),
        tuple(differing),
        tuple(not_finite),
        tuple(resumed),
    )


def _checkpoints(start: int, step: int, every: int) -> Sequence[int]:
    """The multiples of `every` between the two steps; none if there are too many to try."""
    found = range(start - start % every + every, step, every) if every else range(0)
    return found if len(found) <= _MOST_CHECKPOINTS else ()


def _agree(logged: float, half_unit: float, computed: Computed | None) -> bool:
    if computed is None:
        return False
    if math.isnan(logged) or math.isnan(computed.value) or logged == computed.value:
        return math.isnan(logged) == math.isnan(computed.value)
    return abs(logged - computed.value) <= half_unit + computed.rounding
