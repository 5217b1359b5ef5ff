"""A check against the accepted baseline: the compared quantities and the baseline itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from harness.report.document import (
    Block,
    Column,
    Folded,
    Section,
    Sentence,
    Subsection,
    Table,
    Values,
)
from harness.report.sections.source import Source
from harness.report.text.regression import LISTS, counts, items_in
from harness.report.text.values import capitalized
from harness.results.regression import CheckItem, CheckResult, Listed, UsedBaseline
from harness.units import number, quantity

__all__ = ["baseline_age", "item_value", "key_rows", "section"]

_TITLES: dict[Listed, str] = {
    "regressed": "Regressed",
    "improved": "Improved",
    "unchanged": "Unchanged",
    "inconclusive": "Inconclusive, no verdict",
    "not_comparable": "Not comparable, no verdict",
    "missing": "Missing, no verdict",
}
_COLUMNS = (
    Column("case", "text"),
    Column("loop", "text"),
    Column("quantity", "text"),
    Column("before", note="in the baseline", detail=True),
    Column("now", detail=True),
    Column("ratio", note="now over before", detail=True),
    Column("interval", note="of the ratio, 95%", detail=True),
    Column("finding", "prose"),
)
_INTRODUCTION = (
    "Each quantity is compared with the accepted baseline. The tables show the accepted value and "
    "the current one."
)


def section(source: Source) -> Section | None:
    """Each list of quantities, the worst first, then each baseline; none without a check."""
    result = source.report.gate
    if result is None:
        return None
    blocks: list[Block] = [Sentence(f"{capitalized(counts(result))}.{_measurements(result)}")]
    if result.moved_together:
        blocks.append(Sentence(result.moved_together))
    blocks += [block for listed in LISTS for block in _list(result, listed)]
    blocks += [_baseline(used, source.now) for used in result.baselines]
    return Section("baseline", "Baseline", tuple(blocks), _INTRODUCTION)


def _measurements(result: CheckResult) -> str:
    """How often speeds were measured; empty if none was compared."""
    if not any(item.tier == "speed" for item in result.items):
        return ""
    if result.measurements == 1:
        return " Speeds were measured once."
    return f" Speeds were measured {result.measurements} times."


def _list(result: CheckResult, listed: Listed) -> list[Block]:
    """A table of one list; the unchanged quantities are folded."""
    items = items_in(result, listed)
    if not items:
        return []
    title = f"{_TITLES[listed]}: {len(items)}"
    table = Table(title, _COLUMNS, tuple(map(_row, items)))
    if listed == "unchanged":
        return [Folded(title, (table,))]
    return [Subsection(title, (table,))]


def _row(item: CheckItem) -> tuple[str, ...]:
    return (
        item.case,
        item.loop,
        item.metric.replace("_", " "),
        item_value(item.before, item.unit),
        item_value(item.now, item.unit),
        "" if item.ratio is None else number(item.ratio),
        "" if item.interval is None else " to ".join(map(number, item.interval)),
        item.sentence,
    )


def item_value(found: Any, unit: str) -> str:
    """A value with its unit; exact integers keep all their digits."""
    if found is None:
        return ""
    if isinstance(found, float) and unit:
        return quantity(found, unit)
    if isinstance(found, int) and unit in ("s", "B"):
        return quantity(found, unit)
    if isinstance(found, float):
        return number(found, 9)
    return f"{found} {unit}".strip()


def _baseline(used: UsedBaseline, now: datetime) -> Subsection:
    pairs = [
        ("file", used.file if used.file is not None else "none for this case and machine"),
        ("machine class", used.machine_class),
    ]
    if used.file is not None:
        pairs += [
            ("accepted", baseline_age(used, now)),
            ("commit", used.commit or "not recorded"),
            ("reason", used.reason or "not recorded"),
        ]
    blocks: list[Block] = [Values(tuple(pairs))]
    if used.key_differences:
        columns = Column("field", "text"), Column("baseline", "text"), Column("now", "text")
        name = f"Key fields that differ, {used.case}"
        blocks.append(Table(name, columns, tuple(key_rows(used))))
    elif used.file is not None:
        blocks.append(Sentence("No key field differs."))
    return Subsection(f"{used.case}: baseline", tuple(blocks))


def baseline_age(used: UsedBaseline, now: datetime) -> str:
    """When the baseline was accepted, and how long ago by this machine's clock."""
    if used.accepted_at is None:
        return "not recorded"
    try:
        accepted = datetime.fromisoformat(used.accepted_at)
    except ValueError:
        return f"{used.accepted_at}, which is not a date"
    if accepted.tzinfo is None:
        accepted = accepted.replace(tzinfo=UTC)
    days = (now - accepted).days
    if days < 0:
        return f"{accepted:%Y-%m-%d}, later than this machine's clock"
    return f"{accepted:%Y-%m-%d}, {days} day{'' if days == 1 else 's'} before this report was made"


def key_rows(used: UsedBaseline) -> Sequence[tuple[str, str, str]]:
    """Each key field that differs: its name, its value in the baseline, its value now."""
    return [
        (name, item_value(before, ""), item_value(now, ""))
        for name, (before, now) in sorted(used.key_differences.items())
    ]
