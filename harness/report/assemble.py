"""The one list of sections: a report becomes a document, which every printer walks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from harness.report.document import Document, Section, Subsection
from harness.report.plots.collect import Plots
from harness.report.sections import (
    baseline,
    causes,
    curves,
    explanation,
    pairs,
    reproduce,
    runs,
    setup,
    speed,
    upgrade,
)
from harness.report.sections.source import Source
from harness.report.text.about import about
from harness.report.text.answers import Answer, answers
from harness.report.text.verdict import headline, tone
from harness.results.report import Report

__all__ = ["SECTIONS", "document_of"]

SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    upgrade.section,
    speed.section,
    baseline.section,
    explanation.section,
    causes.section,
    pairs.section,
    curves.section,
    runs.section,
    setup.section,
    reproduce.section,
)
"""In the order of a report. A section that does not apply to a report returns None."""


def document_of(
    report: Report, plots: Plots | None = None, now: datetime | None = None
) -> Document:
    """The report as display data.

    `plots`: None for a printer without graphics. `now`: when it is made, for the age of a baseline.
    """
    source = Source(report, plots, now or datetime.now(UTC))
    sections = tuple(found for section in SECTIONS if (found := section(source)) is not None)
    return Document(
        headline=headline(report),
        verdict=report.verdict,
        tone=tone(report.verdict),
        answers=tuple(_reachable(one, sections) for one in answers(report)),
        sections=sections,
        about=tuple(about(report)),
        version=str(report.environment.get("harness", "")),
    )


def _reachable(answer: Answer, sections: Sequence[Section]) -> Answer:
    """The answer; without its anchor if no section has it."""
    anchors = {section.anchor for section in sections}
    anchors |= {
        block.anchor
        for section in sections
        for block in section.blocks
        if isinstance(block, Subsection)
    }
    return answer if answer.anchor in anchors else replace(answer, anchor="")
