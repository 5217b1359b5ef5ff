"""The speed of one arm relative to another, from blocks to an interval: the arithmetic of a bench.

Each round contributes the log ratio of the time per sample of two blocks, which trained within
seconds of each other. With equal batches on the same rows it is also the ratio per step. The rows
of a command are not counted: there it is the ratio per step. Each session contributes the trimmed
mean of its rounds. The interval is a t-interval over sessions. Blocks of one session are never
treated as independent, since they share a process, its memory and the state of the machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.results.sessions import Block, Session
from harness.stats import trimmed_mean

__all__ = ["Sample", "Value", "session_means"]

_NO_SPREAD = 1e-9  # standard error of log ratios below which all sessions are equal up to rounding

Value = Callable[[Block], float]
"""The compared time of a block, in seconds for the whole block."""


def session_means(
    sessions: Sequence[Session], reference: str, candidate: str, value: Value
) -> list[float]:
    """For each session, the trimmed mean of log(candidate / reference) over its rounds."""
    means = []
    for session in sessions:
        times: dict[str, dict[int, float]] = {reference: {}, candidate: {}}
        for block in session.blocks:
            if block.arm in times:
                times[block.arm][block.round] = value(block) / (block.samples or block.steps)
        one, two = times[reference], times[candidate]
        means.append(trimmed_mean([math.log(two[r] / one[r]) for r in sorted(one) if r in two]))
    return means


@dataclass(frozen=True)
class Sample:
    """Log ratios, one per session."""

    means: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.means)

    @property
    def error(self) -> float:
        """Standard error of the mean; 0 if there is no spread."""
        error = math.sqrt(statistics.variance(self.means) / len(self.means))
        return 0.0 if error < _NO_SPREAD else error

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return len(self.means) - 1

    def half_width(self, level: float) -> float:
        """Half the width of the t-interval with error probability `level` on each side."""
        from scipy import special  # slow to import, and few commands need it

        return float(special.stdtrit(self.freedom, 1 - level)) * self.error

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of the ratio, not of its logarithm."""
        half = self.half_width(level)
        return math.exp(self.mean - half), math.exp(self.mean + half)

    def p_above(self, bound: float) -> float:
        """One-sided p-value of 'the true log ratio is at most `bound`'."""
        from scipy import special

        if not self.error:
            return float(self.mean <= bound)
        return 1 - float(special.stdtr(self.freedom, (self.mean - bound) / self.error))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of 'the true log ratio is at least `bound`'."""
        return Sample(tuple(-mean for mean in self.means)).p_above(-bound)
