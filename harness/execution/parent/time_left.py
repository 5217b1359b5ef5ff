"""About how long the runs of a command still take, estimated from those that have finished.

A run that is left is expected to take as long as the finished ones on average, and as many run at a
time as do now. Without a finished run there is no estimate. Runs that ended before their first step
say nothing about the others.
"""

from __future__ import annotations

import time
from typing import Any

from harness.units import about

__all__ = ["TimeLeft"]


class TimeLeft:
    """Follows the events of `run_all`; times are seconds of the monotonic clock."""

    def __init__(self, runs: int) -> None:
        self.ended = 0
        """Runs that have ended."""
        self._runs = runs
        self._began: dict[int, float] = {}
        self._trained: set[int] = set()
        self._took: list[float] = []

    def note(self, number: int, event: dict[str, Any]) -> None:
        """Take up one event of run `number`."""
        name = event["event"]
        if name == "building":
            self._began.setdefault(number, time.monotonic())
        elif name in ("step", "completed", "stopped"):
            self._trained.add(number)
        elif name == "ended":
            self.ended += 1
            began = self._began.pop(number, None)
            if began is not None and number in self._trained:
                self._took.append(time.monotonic() - began)

    def seconds(self) -> float | None:
        """The estimate; None without a finished run, or if nothing is left."""
        left = self._runs - self.ended
        if not self._took or not left:
            return None
        each = sum(self._took) / len(self._took)
        now = time.monotonic()
        active = [max(0.0, each - (now - began)) for began in self._began.values()]
        work = sum(active) + each * (left - len(active))
        return max([work / max(1, len(active)), *active])

    def text(self) -> str:
        """'about 3 min left'; empty without an estimate."""
        seconds = self.seconds()
        return "" if seconds is None else f"{about(max(1.0, seconds))} left"
