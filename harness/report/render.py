"""A report -> the text of one of its files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from harness.errors import unknown_name
from harness.report.assemble import document_of
from harness.report.formats.csv_table import tidy
from harness.report.formats.dashboards import bencher, github_benchmark
from harness.report.formats.junit import junit
from harness.report.formats.markdown import markdown
from harness.report.formats.page import cell, page
from harness.report.plots.collect import NO_PLOTS, Plots
from harness.results.report import Report

__all__ = ["render"]

_Printer = Callable[[Report, Plots, datetime | None], str]
_PRINTERS: dict[str, _Printer] = {
    "report.md": lambda report, plots, now: markdown(document_of(report, plots, now)),
    "report.html": lambda report, plots, now: page(document_of(report, plots, now)),
    "cell.html": lambda report, _plots, now: cell(document_of(report, None, now)),
    "report.csv": lambda report, _plots, _now: tidy(report),
    "junit.xml": lambda report, _plots, _now: junit(report),
    "bencher.json": lambda report, _plots, _now: bencher(report),
    "github-benchmark.json": lambda report, _plots, _now: github_benchmark(report),
}


def render(report: Report, name: str, plots: Plots = NO_PLOTS, now: datetime | None = None) -> str:
    """The file `name` of a report, or 'cell.html' for a notebook.

    `now`: when it is made, for the age of a baseline. Raises `SpecError` for another name, and
    `RecordError` if the file cannot hold anything of this report.
    """
    if name not in _PRINTERS:
        raise unknown_name("page", name, _PRINTERS)
    return _PRINTERS[name](report, plots, now)
