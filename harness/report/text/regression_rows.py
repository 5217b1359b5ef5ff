"""What a check against a baseline found, as the rows of its panel on a page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from harness.report.text.regression import items_in
from harness.results.regression import CheckItem, CheckResult, Listed, UsedBaseline
from harness.units import number, quantity

__all__ = ["HEADINGS", "LISTS", "age", "key_rows", "lists", "value"]

LISTS: dict[Listed, str] = {
    "regressed": "Regressed",
    "improved": "Improved",
    "unchanged": "Unchanged",
    "inconclusive": "Inconclusive: no verdict",
    "not_comparable": "Not comparable: no verdict",
    "missing": "Missing: no verdict",
}
"""Heading of each list, the worst first."""
HEADINGS = ("case", "loop", "what", "before", "now", "ratio", "interval", "found")


def lists(gate: CheckResult) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each list that is not empty, the worst first, with a row an item under `HEADINGS`."""
    for listed in LISTS:
        rows = [_row(item) for item in items_in(gate, listed)]
        if rows:
            yield listed, rows


def _row(item: CheckItem) -> tuple[str, ...]:
    return (
        item.case,
        item.loop,
        item.metric.replace("_", " "),
        value(item.before, item.unit),
        value(item.now, item.unit),
        "" if item.ratio is None else number(item.ratio),
        "" if item.interval is None else " to ".join(map(number, item.interval)),
        item.words,
    )


def value(found: Any, unit: str) -> str:
    """A value of either side, with its unit; exact integers keep all their digits."""
    if found is None:
        return ""
    if isinstance(found, float) and unit:
        return quantity(found, unit)
    if isinstance(found, int) and unit in ("s", "B"):
        return quantity(found, unit)
    if isinstance(found, float):
        return number(found, 9)
    return f"{found} {unit}".strip()


def age(used: UsedBaseline, now: datetime | None = None) -> str:
    """When it was accepted, and how long ago by this machine's clock."""
    if used.accepted_at is None:
        return "not told"
    try:
        accepted = datetime.fromisoformat(used.accepted_at)
    except ValueError:
        return f"{used.accepted_at}, which is no date"
    if accepted.tzinfo is None:
        accepted = accepted.replace(tzinfo=UTC)
    days = ((now or datetime.now(UTC)) - accepted).days
    if days < 0:
        return f"{accepted:%Y-%m-%d}, which this machine's clock has yet to reach"
    return f"{accepted:%Y-%m-%d}, {days} day{'' if days == 1 else 's'} before this page was made"


def key_rows(used: UsedBaseline) -> list[tuple[str, str, str]]:
    """Field of the key, its value in the baseline and now, where they differ."""
    return [
        (name, value(before, ""), value(now, ""))
        for name, (before, now) in sorted(used.key_differences.items())
    ]
