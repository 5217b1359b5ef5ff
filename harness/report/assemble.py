"""The one list of sections: a report becomes a document, which every printer walks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from harness.report.document import Document, Section
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
from harness.report.text.summary import first_lines
from harness.report.text.verdict import headline, tone
from harness.results.report import Report

__all__ = ["SECTIONS", "document_of"]

SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    upgrade.section,
    pairs.section,
    curves.section,
    runs.section,
    speed.section,
    baseline.section,
    explanation.section,
    causes.section,
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
    found = (section(source) for section in SECTIONS)
    return Document(
        headline=headline(report),
        verdict=report.verdict,
        tone=tone(report.verdict),
        sentences=tuple(first_lines(report)),
        sections=tuple(section for section in found if section is not None),
        version=str(report.environment.get("harness", "")),
    )
