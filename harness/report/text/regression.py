"""A check against a baseline, in sentences."""

from __future__ import annotations

from typing import get_args

from harness.results.regression import CheckItem, CheckResult, Listed

__all__ = ["LISTS", "counts", "first_lines", "items_in"]

LISTS: tuple[Listed, ...] = get_args(Listed)
"""The lists of a check, the worst first."""


def first_lines(check: CheckResult) -> list[str]:
    """The size of each list, a shift of all loops together, and what to do."""
    lines = [f"compared with the baseline: {counts(check)}"]
    if check.moved_together:
        lines.append(check.moved_together)
    if check.measurements > 1:
        lines.append(
            f"speeds were measured {check.measurements} times: a change counts only if both show it"
        )
    if {item.listed for item in check.items} in ({"improved"}, {"improved", "unchanged"}):
        lines.append("an improvement is kept by later checks once it is accepted: harness accept")
    return lines


def counts(check: CheckResult) -> str:
    """How many items each list holds."""
    sizes = [(listed, len(items_in(check, listed))) for listed in LISTS]
    text = ", ".join(f"{count} {listed.replace('_', ' ')}" for listed, count in sizes if count)
    return text or "nothing was compared with it"


def items_in(check: CheckResult, listed: Listed) -> list[CheckItem]:
    """The items of one list."""
    return [item for item in check.items if item.listed == listed]
