"""The change of a speed from the baseline to a check, with its confidence interval.

Each session contributes the trimmed mean of the log ratio over its rounds, as in a bench. The
change is the difference of the two means over sessions, with Welch's interval (Biometrika 34
(1947)), since the two were measured on different days with different spreads. Only rounds that both
have are used. Their turns have the same length, so both trained on the same rows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.benchmark.conclusions import statistic_of
from harness.benchmark.intervals import Sample
from harness.errors import RecordError
from harness.results.benchmark import CONTROL
from harness.results.sessions import Session
from harness.stats import trimmed_mean

__all__ = ["ALPHA", "Change", "SessionTimes", "SpeedChange", "Speeds", "interval_text", "speeds_of"]

ALPHA = 0.025
"""Error probability on each side of an interval; a regression needs two measurements."""
SpeedChange = Literal["slower", "faster", "unchanged", "inconclusive"]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SessionTimes(BaseModel):
    """Raw samples of one session: the seconds per step of each round."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: dict[str, tuple[_Seconds, ...]]
    yardstick_s: tuple[_Seconds, ...] | None = None
    """For each round, the mean time of the yardstick over its turns; None: not timed."""

    def ratio(self, arm: str, reference: str, rounds: int) -> float:
        """Log ratio of the arm's time to the reference's."""
        pairs = zip(self.arms[arm][:rounds], self.arms[reference][:rounds], strict=True)
        return trimmed_mean([math.log(one / two) for one, two in pairs])

    def step(self, arm: str, rounds: int) -> float:
        """Log of the seconds per step."""
        return trimmed_mean([math.log(value) for value in self.arms[arm][:rounds]])

    def yardstick(self, rounds: int) -> float | None:
        """Log of the yardstick's seconds; None: it was not timed."""
        if self.yardstick_s is None:
            return None
        return trimmed_mean([math.log(value) for value in self.yardstick_s[:rounds]])


class Speeds(BaseModel):
    """The raw speeds that a bench measured of a case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statistic: Literal["own_step_s", "step_s"]
    reference: str
    steps_per_turn: int = Field(ge=2)
    sessions: tuple[SessionTimes, ...] = Field(min_length=2)

    @property
    def rounds(self) -> int:
        """The number of rounds that every session has."""
        return min(len(times) for session in self.sessions for times in session.arms.values())

    @property
    def candidates(self) -> list[str]:
        """All arms except the reference and its control."""
        return [arm for arm in self.sessions[0].arms if arm not in (self.reference, CONTROL)]

    def ratios(self, arm: str, rounds: int) -> Sample:
        """Log ratios of an arm to the reference, one per session."""
        return Sample(tuple(s.ratio(arm, self.reference, rounds) for s in self.sessions))

    def absolute(self, arm: str, rounds: int) -> Sample:
        """Logs of an arm's seconds per step."""
        return Sample(tuple(session.step(arm, rounds) for session in self.sessions))

    def yardstick(self, rounds: int) -> Sample | None:
        """Logs of the yardstick's seconds; None if a session did not time it."""
        logs = [session.yardstick(rounds) for session in self.sessions]
        known = tuple(value for value in logs if value is not None)
        return Sample(known) if len(known) == len(logs) else None

    def relative(self, arm: str, rounds: int) -> Sample | None:
        """Logs of an arm's time per step in units of the yardstick."""
        yardstick = self.yardstick(rounds)
        if yardstick is None:
            return None
        pairs = zip(self.absolute(arm, rounds).means, yardstick.means, strict=True)
        return Sample(tuple(step - unit for step, unit in pairs))


@dataclass(frozen=True)
class Change:
    """The change from one sample of logs to another one."""

    before: Sample
    now: Sample

    @property
    def mean(self) -> float:
        """Log of the ratio of now to before."""
        return self.now.mean - self.before.mean

    @property
    def half_width(self) -> float:
        """Half the width of the interval of `mean`, at `ALPHA` on each side."""
        from scipy import special

        parts = self.before.error**2, self.now.error**2
        if not sum(parts):
            return 0.0
        freedom = sum(parts) ** 2 / (
            parts[0] ** 2 / self.before.freedom + parts[1] ** 2 / self.now.freedom
        )
        return float(special.stdtrit(freedom, 1 - ALPHA)) * math.sqrt(sum(parts))

    @property
    def ratio(self) -> float:
        """The ratio of now to before; above 1 is slower."""
        return math.exp(self.mean)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of that ratio."""
        half = self.half_width
        return math.exp(self.mean - half), math.exp(self.mean + half)

    def classify(self, margin: float, visible: float) -> SpeedChange:
        """The conclusion that the interval allows.

        `margin`: the relative change that does not matter. `visible`: the slowdown that must be
        detected. A change is `slower` or `faster` if its whole interval lies beyond the margin.
        Otherwise it is `unchanged` if its upper bound lies within the margin, or if its upper bound
        excludes `visible` and its lower bound is at most 1.
        """
        low, high = self.interval
        if low > 1 + margin:
            return "slower"
        if high < 1 / (1 + margin):
            return "faster"
        if high <= 1 + margin or (high < 1 + visible and low <= 1):
            return "unchanged"
        return "inconclusive"


def interval_text(interval: tuple[float, float]) -> str:
    """An interval of a ratio as relative changes."""
    return " to ".join(f"{bound - 1:+.1%}" for bound in interval)


def speeds_of(sessions: Sequence[Session], reference: str, device: str) -> Speeds | None:
    """The raw samples of a bench; None if there are fewer than two sessions.

    Raises `RecordError` if a time is not a positive number.
    """
    if len(sessions) < 2:
        return None
    statistic = statistic_of(sessions, device)
    own = statistic == "own_step_s"
    found = []
    for session in sessions:
        arms: dict[str, dict[int, float]] = {}
        yardsticks: dict[int, list[float | None]] = {}
        for block in session.blocks:
            seconds = (block.own_s if own else block.wall_s) / block.steps
            yardsticks.setdefault(block.round, []).append(block.yardstick_s)
            for value in (seconds, block.yardstick_s):
                if value is not None and not (value > 0 and math.isfinite(value)):
                    raise RecordError(
                        "a time is a positive number of seconds",
                        f"{value} of {block.arm} in session {session.number}",
                        "measure again",
                    )
            arms.setdefault(block.arm, {})[block.round] = seconds
        found.append(
            SessionTimes(
                arms={arm: _in_order(by_round) for arm, by_round in sorted(arms.items())},
                yardstick_s=_means(yardsticks),
            )
        )
    return Speeds(
        statistic="own_step_s" if own else "step_s",
        reference=reference,
        steps_per_turn=sessions[0].steps_per_turn,
        sessions=tuple(found),
    )


def _in_order(by_round: Mapping[int, float]) -> tuple[float, ...]:
    return tuple(by_round[number] for number in sorted(by_round))


def _means(by_round: Mapping[int, list[float | None]]) -> tuple[float, ...] | None:
    rows = [by_round[number] for number in sorted(by_round)]
    known = [[value for value in row if value is not None] for row in rows]
    if any(len(row) < len(whole) for row, whole in zip(known, rows, strict=True)):
        return None
    return tuple(statistics.fmean(row) for row in known)
