"""A report -> the files of an output folder, each written atomically."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from harness.errors import unknown_name
from harness.report.plots.collect import NO_PLOTS, collect_plots
from harness.report.render import render
from harness.results.record import write_atomically
from harness.results.report import REPORT_FILE, Report

__all__ = ["DEFAULT_FORMATS", "FORMATS", "write"]

FORMATS = {
    "md": "report.md",
    "html": "report.html",
    "json": REPORT_FILE,
    "csv": "report.csv",
    "junit": "junit.xml",
    "bencher": "bencher.json",
    "github-benchmark": "github-benchmark.json",
}
"""Format -> file; html also writes each plot to a file."""
DEFAULT_FORMATS = ("md", "html", "json", "csv", "junit")
"""The formats of every report; the others are for speeds alone."""


def write(report: Report, folder: Path, formats: Iterable[str] = DEFAULT_FORMATS) -> list[Path]:
    """Write the files of `formats` to `folder`, which also holds the records to draw.

    Raises `SpecError` for an unknown format, and as `render` does.
    """
    names = list(formats)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    plots = NO_PLOTS
    if {"md", "html"} & set(names):
        plots = collect_plots(report, folder)
    texts = {
        name: report.to_json() if name == "json" else render(report, FORMATS[name], plots)
        for name in dict.fromkeys(names)
    }
    with ExitStack() as all_or_none:  # on a full disk no page may stand without the others
        if "html" in names:
            all_or_none.enter_context(plots.written(folder))
        for name, text in texts.items():
            temporary = all_or_none.enter_context(write_atomically(folder / FORMATS[name]))
            temporary.write_text(text, encoding="utf-8", newline="")
    return [folder / FORMATS[name] for name in names]
