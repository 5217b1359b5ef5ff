"""The input of every section."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from harness.report.plots.collect import Plots
from harness.results.report import Report

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A report and the plots that were collected for it."""

    report: Report
    plots: Plots | None
    """None if the printer shows no plots."""
    now: datetime
    """When the document is made, for the age of a baseline."""
