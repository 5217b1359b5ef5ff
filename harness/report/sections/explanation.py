"""Explanations by experiment: a row for each field, and what the experiments cost."""

from __future__ import annotations

from typing import Any

from harness.report.document import Block, Column, Section, Sentence, Subsection, Table
from harness.report.sections.source import Source
from harness.report.text.explanation import caption, lines
from harness.results.explanation import Contribution, Explanation, Gap
from harness.units import number

__all__ = ["explanation_table", "section"]

_COLUMNS = (
    Column("field", "text"),
    Column("reference", "text"),
    Column("candidate", "text"),
    Column("alone: first difference"),
    Column("loss", note="largest difference"),
    Column("weights", note="fraction of their movement"),
    Column("remaining: first difference"),
    Column("loss", note="largest difference"),
    Column("weights", note="fraction of their movement"),
)


def section(source: Source) -> Section | None:
    """Each explanation; none if the report has none."""
    found = tuple(map(_subsection, source.report.explanations))
    return Section("explanation", "Explained by experiment", found) if found else None


def _subsection(found: Explanation) -> Subsection:
    """The table of fields, if any matters, then notes and cost."""
    table = (explanation_table(found),) if found.contributions else ()
    blocks: tuple[Block, ...] = (*table, *(Sentence(line) for line in lines(found)))
    return Subsection(f"{found.candidate} against {found.reference}, explained", blocks)


def explanation_table(found: Explanation) -> Table:
    """The whole difference first, then each field alone and what remains after it."""
    rows: list[tuple[str, ...]] = []
    if found.gap is not None:
        whole = ("all fields", found.reference, found.candidate, *_cells(found.gap), "", "", "")
        rows.append(whole)
    rows += [_row(one) for one in found.contributions]
    name = (
        f"Fields that cause the difference, {found.case}: {found.candidate} against "
        f"{found.reference}"
    )
    return Table(name, _COLUMNS, tuple(rows), caption(found))


def _row(one: Contribution) -> tuple[str, ...]:
    left = _cells(one.left) if one.left is not None else ("", "", "")
    return one.field, _value(one.reference), _value(one.candidate), *_cells(one.alone), *left


def _cells(gap: Gap) -> tuple[str, str, str]:
    place = f"step {gap.step}, {gap.stage}" if gap.step is not None else ""
    if gap.step is None and gap.loss == 0 and gap.weights == 0:
        place = "identical"
    figures = ["" if value is None else number(value, 2) for value in (gap.loss, gap.weights)]
    return place, figures[0], figures[1]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return number(value, 9) if isinstance(value, float) else str(value)
