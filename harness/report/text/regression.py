"""What is said of a check against a baseline: sentences, and the rows of its lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from harness.results.regression import CheckItem, CheckResult, Listed, UsedBaseline

__all__ = ["HEADINGS", "LISTS", "counts", "first_lines", "items_in", "lists", "rows", "used"]

LISTS: tuple[Listed, ...] = get_args(Listed)
HEADINGS = ("case", "loop", "what", "tier", "words")


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


def lists(gate: CheckResult) -> Iterator[tuple[str, Sequence[CheckItem]]]:
    """Each list that holds something, by its name, the worst first, but what is unchanged."""
    for listed in LISTS:
        found = items_in(gate, listed)
        if found and listed != "unchanged":
            yield _name(listed), found


def rows(items: Sequence[CheckItem]) -> list[tuple[str, ...]]:
    """Under `HEADINGS`."""
    return [(item.case, item.loop, item.metric, item.tier, item.words) for item in items]


def used(baseline: UsedBaseline) -> str:
    """Which baseline a case was held against."""
    if baseline.file is None:
        return f"{baseline.case}: no baseline"
    said = f"{baseline.case}: {baseline.file}, accepted at {baseline.accepted_at}"
    if baseline.commit:
        said += f" of commit {baseline.commit[:12]}"
    return f"{said}: {baseline.reason}"


def _name(listed: str) -> str:
    return listed.replace("_", " ")
