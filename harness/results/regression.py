"""Results of a check against a baseline."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field

from harness.results.base import Result

__all__ = ["CheckItem", "CheckResult", "Listed", "Tier", "UsedBaseline"]

Listed = Literal["regressed", "improved", "unchanged", "inconclusive", "not_comparable", "missing"]
"""The verdicts of an item, the worst first."""
Tier = Literal["exact", "memory", "speed", "baseline"]
"""How an item is checked: by equality, by peak memory within a margin, by intervals of ratios of
speeds, or by the presence of a baseline."""


class CheckItem(Result):
    """One value compared with the baseline."""

    case: str
    """Name of the case."""
    loop: str
    """Empty if the item is about the whole case."""
    metric: str
    """What was compared, such as `steps`, `loss_trace` or `step_time_ratio`."""
    tier: Tier
    """How the item is checked."""
    listed: Listed
    """The verdict of the item."""
    sentence: str = Field(validation_alias=AliasChoices("sentence", "words"))
    """The old value, the new value, and what that means. Reports written before 0.2.0 call it
    `words`."""
    unit: str = ""
    """Base unit of the values; empty for numbers without a unit."""
    before: Any = None
    """The value in the baseline."""
    now: Any = None
    """The value of this check."""
    ratio: float | None = None
    """For speeds: now / before; above 1 is slower."""
    interval: tuple[float, float] | None = None
    """95% interval of the ratio."""


class UsedBaseline(Result):
    """The baseline of a case."""

    case: str
    """Name of the case."""
    file: str | None
    """Its path, as given or below the given folder; None if there is no baseline."""
    machine_class: str
    """Short name of the machine of this check, derived from its key."""
    accepted_at: str | None = None
    """Time of acceptance in ISO 8601, by the clock of that machine. No outcome depends on it."""
    commit: str | None = None
    """Commit at which the baseline was accepted; None if it is not known."""
    reason: str | None = None
    """The reason given when it was accepted."""
    key_differences: dict[str, tuple[Any, Any]] = Field(default_factory=dict)
    """Fields of the key that differ: the value in the baseline, and the value now."""


class CheckResult(Result):
    """The result of `harness check`."""

    items: tuple[CheckItem, ...]
    """One item per value that was compared."""
    baselines: tuple[UsedBaseline, ...]
    """The baseline of each case."""
    measurements: int = Field(1, validation_alias=AliasChoices("measurements", "looks"))
    """Number of speed measurements; a second one confirms a change. Reports written before 0.2.0
    call it `looks`."""
    moved_together: str = ""
    """One sentence if all loops changed by the same ratio: the machine or a library changed."""
