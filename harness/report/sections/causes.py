"""Why pairs differ: causes, settings, and remedies that loops applied."""

from __future__ import annotations

from harness.report.document import (
    Block,
    CauseCard,
    Column,
    Section,
    Sentence,
    Subsection,
    Table,
)
from harness.report.sections.pairs import pair_name
from harness.report.sections.source import Source
from harness.report.text.causes import (
    cause_label,
    detail,
    evidence,
    is_explained,
    unexplained,
)
from harness.report.text.facts import also_lines, fact_lines
from harness.report.text.values import setting_text
from harness.results.comparison import Cause, Comparison
from harness.results.report import Report

__all__ = ["section"]


def section(source: Source) -> Section | None:
    """The causes of each pair that differs, then the remedies that loops applied."""
    report = source.report
    blocks: list[Block] = []
    for pair in report.comparisons:
        found = _blocks(pair)
        if found:
            names = f"{pair.candidate} differs from {pair.reference}"
            title = f"{pair.case}: why {names}"
            if not is_explained(pair):
                title = f"{pair.case}: settings in which {names}"
            blocks.append(Subsection(title, found))
    blocks += [Sentence(line) for line in _remedies(report)]
    if not blocks:
        return None
    return Section("causes", "Causes and remedies", tuple(blocks), subject="pairs that differ")


def _remedies(report: Report) -> list[str]:
    """How loops worked around faults of their frameworks, each remedy once."""
    lines = [
        f"Workaround in the loop {run.loop} for its library: {remedy}"
        for run in report.runs
        for remedy in run.remedies
    ]
    return list(dict.fromkeys(lines))


def _blocks(pair: Comparison) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if is_explained(pair):
        blocks += [Sentence(text) for text in (*fact_lines(pair), detail(pair)) if text]
        blocks += [_card(cause) for cause in pair.causes]
        blocks += [Sentence(text) for text in (unexplained(pair), *also_lines(pair)) if text]
    if pair.settings:
        blocks.append(_settings(pair))
    return tuple(blocks)


def _card(cause: Cause) -> CauseCard:
    return CauseCard(
        label=cause_label(cause),
        title=cause.title,
        id=cause.id,
        reference=cause.reference,
        evidence=evidence(cause),
        remedy=cause.remedy,
        explains_first=cause.explains_first,
    )


def _settings(pair: Comparison) -> Table:
    columns = (
        Column("setting before the first step", "text"),
        Column(pair.reference, "prose"),
        Column(pair.candidate, "prose"),
    )
    rows = tuple(
        (setting.name, setting_text(setting.reference), setting_text(setting.candidate))
        for setting in pair.settings
    )
    name = f"Settings that differ before the first step, {pair_name(pair)}"
    return Table(name, columns, rows)
