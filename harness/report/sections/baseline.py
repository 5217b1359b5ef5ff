"""A check against the accepted baseline: its items, and the baseline that was used."""

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
    "inconclusive": "Inconclusive: no verdict",
    "not_comparable": "Not comparable: no verdict",
    "missing": "Missing: no verdict",
}
_COLUMNS = (
    Column("case", "text"),
    Column("loop", "text"),
    Column("what", "text"),
    Column("before", note="in the baseline", detail=True),
    Column("now", detail=True),
    Column("ratio", note="now over before", detail=True),
    Column("interval", note="of the ratio, 95%", detail=True),
    Column("found", "prose"),
)
_CAPTION = "What was held against the baseline, as it was accepted and as it is now."


def section(source: Source) -> Section | None:
    """Each list of items, the worst first, then each baseline; none without a check."""
    result = source.report.gate
    if result is None:
        return None
    looks = f"Speeds were measured {result.looks} time{'s' if result.looks != 1 else ''}."
    blocks: list[Block] = [Sentence(f"{capitalized(counts(result))}. {looks}")]
    if result.moved_together:
        blocks.append(Sentence(result.moved_together))
    blocks += [block for listed in LISTS for block in _list(result, listed)]
    blocks += [_baseline(used, source.now) for used in result.baselines]
    return Section("baseline", "Baseline", tuple(blocks))


def _list(result: CheckResult, listed: Listed) -> list[Block]:
    """A table; what is unchanged is folded."""
    items = items_in(result, listed)
    if not items:
        return []
    table = Table(_TITLES[listed], _COLUMNS, tuple(map(_row, items)), _CAPTION)
    title = f"{_TITLES[listed]}: {len(items)}"
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
        item.words,
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
            ("commit", used.commit or "not told"),
            ("reason", used.reason or "not told"),
        ]
    blocks: list[Block] = [Values(tuple(pairs))]
    if used.key_differences:
        columns = Column("field", "text"), Column("baseline", "text"), Column("now", "text")
        name = f"Fields of the key that differ, {used.case}"
        blocks.append(Table(name, columns, tuple(key_rows(used))))
    elif used.file is not None:
        blocks.append(Sentence("No field of its key differs."))
    return Subsection(f"{used.case}: the baseline", tuple(blocks))


def baseline_age(used: UsedBaseline, now: datetime) -> str:
    """When it was accepted, and how long ago by this machine's clock."""
    if used.accepted_at is None:
        return "not told"
    try:
        accepted = datetime.fromisoformat(used.accepted_at)
    except ValueError:
        return f"{used.accepted_at}, which is no date"
    if accepted.tzinfo is None:
        accepted = accepted.replace(tzinfo=UTC)
    days = (now - accepted).days
    if days < 0:
        return f"{accepted:%Y-%m-%d}, which this machine's clock has yet to reach"
    return f"{accepted:%Y-%m-%d}, {days} day{'' if days == 1 else 's'} before this page was made"


def key_rows(used: UsedBaseline) -> Sequence[tuple[str, str, str]]:
    """Field of the key, its value in the baseline and now, where they differ."""
    return [
        (name, item_value(before, ""), item_value(now, ""))
        for name, (before, now) in sorted(used.key_differences.items())
    ]
