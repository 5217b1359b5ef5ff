"""What is said of a check against a baseline: sentences, and the rows of its lists."""

from __future__ import annotations

from typing import get_args

from harness.results.regression import CheckItem, CheckResult, Listed

__all__ = ["LISTS", "counts", "first_lines", "items_in"]

LISTS: tuple[Listed, ...] = get_args(Listed)


def first_lines(gate: CheckResult) -> list[str]:
    """How many stand in each list; what moved all loops alike; and what to do."""
    lines = [f"against the baseline: {counts(gate)}"]
    if gate.moved_together:
        lines.append(gate.moved_together)
    if gate.looks > 1:
        lines.append(f"speeds were measured {gate.looks} times before anything was called slower")
    if {item.listed for item in gate.items} in ({"improved"}, {"improved", "unchanged"}):
        lines.append("what improved is held from now on where it is accepted: harness accept")
    return lines


def counts(gate: CheckResult) -> str:
    """How many items each list holds, in a sentence."""
    found = [(listed, len(items_in(gate, listed))) for listed in LISTS]
    told = ", ".join(f"{count} {_name(listed)}" for listed, count in found if count)
    return told or "nothing was held against it"


def items_in(gate: CheckResult, listed: Listed) -> list[CheckItem]:
    """Those of one list."""
    return [item for item in gate.items if item.listed == listed]


def _name(listed: str) -> str:
    return listed.replace("_", " ")
