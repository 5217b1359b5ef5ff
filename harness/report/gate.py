"""What is said of a check against a baseline: sentences, and the rows of its lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from harness.gate.result import GateItem, GateResult, Listed, UsedBaseline

__all__ = ["HEADINGS", "LISTS", "first_lines", "lists", "rows", "used"]

LISTS: tuple[Listed, ...] = get_args(Listed)
HEADINGS = ("case", "loop", "what", "tier", "words")


def first_lines(gate: GateResult) -> list[str]:
    """How many stand in each list; what moved all loops alike; and what to do."""
    counts = [(listed, len(_of(gate, listed))) for listed in LISTS]
    told = ", ".join(f"{count} {_name(listed)}" for listed, count in counts if count)
    lines = [f"against the baseline: {told or 'nothing was held against it'}"]
    if gate.moved_together:
        lines.append(gate.moved_together)
    if gate.looks > 1:
        lines.append(f"speeds were measured {gate.looks} times before anything was called slower")
    bad = {listed for listed, count in counts if count} - {"improved", "unchanged"}
    if not bad and _of(gate, "improved"):
        lines.append("what improved is held from now on where it is accepted: harness accept")
    return lines


def lists(gate: GateResult) -> Iterator[tuple[str, Sequence[GateItem]]]:
    """Each list that holds something, by its name, the worst first, but what is unchanged."""
    for listed in LISTS:
        found = _of(gate, listed)
        if found and listed != "unchanged":
            yield _name(listed), found


def rows(items: Sequence[GateItem]) -> list[tuple[str, ...]]:
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


def _of(gate: GateResult, listed: Listed) -> list[GateItem]:
    return [item for item in gate.items if item.listed == listed]


def _name(listed: str) -> str:
    return listed.replace("_", " ")
