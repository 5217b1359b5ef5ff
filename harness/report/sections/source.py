"""What a section is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from harness.report.plots.collect import Plots
from harness.results.report import Report

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A report and what was read beside it."""

    report: Report
    plots: Plots | None
    """None: the printer shows no plots, so nothing was read for them."""
    now: datetime
    """When the document is made, for the age of a baseline."""
