"""What a check against a baseline found, as part of a report."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["CheckItem", "CheckResult", "Listed", "Tier", "UsedBaseline"]

Listed = Literal["regressed", "improved", "unchanged", "inconclusive", "not_comparable", "missing"]
"""In the order in which a reader wants to see them, the worst first."""
Tier = Literal["exact", "memory", "speed", "baseline"]
"""What an item is judged by: equality; peak memory within a margin; ratios in intervals; or
whether there is anything to hold it against."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class CheckItem(_Result):
    """One thing held against the baseline."""

    case: str
    loop: str
    """Empty: it concerns the case as a whole."""
    metric: str
    """What was compared, as `steps`, `loss_trace`, `step_time_ratio`."""
    tier: Tier
    listed: Listed
    words: str
    """One sentence: what it was, what it is, and what that means."""
    unit: str = ""
    before: Any = None
    now: Any = None
    ratio: float | None = None
    """Of now to before, for speeds; above 1 is slower."""
    interval: tuple[float, float] | None = None
    """Of that ratio, at 95%."""


class UsedBaseline(_Result):
    """Which baseline a case was held against."""

    case: str
    file: str | None
    """As it was passed, or below the folder that was passed; None: there is none."""
    machine_class: str
    """Of the machine of this check: a short name made of its key."""
    accepted_at: str | None = None
    """ISO 8601, by the clock of the machine that accepted it; nothing rests on it."""
    commit: str | None = None
    reason: str | None = None
    key_differences: dict[str, tuple[Any, Any]] = {}
    """Field of the key: its value in the baseline and now, where they differ."""


class CheckResult(_Result):
    """What `harness check` found."""

    items: tuple[CheckItem, ...]
    baselines: tuple[UsedBaseline, ...]
    looks: int = 1
    """How many times speeds were measured before anything was called slower."""
    moved_together: str = ""
    """One sentence where all loops moved alike: the machine or a library, not one loop."""
