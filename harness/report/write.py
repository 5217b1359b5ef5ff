"""A report -> the files of an output folder, each whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from harness.errors import unknown_name
from harness.report.formats.csv_table import tidy
from harness.report.formats.junit import junit
from harness.report.formats.page import render
from harness.report.plots.collect import Exhibits, exhibits_of
from harness.results.record import write_atomically
from harness.results.report import REPORT_FILE, Report

__all__ = ["FORMATS", "write"]

FORMATS = {
    "md": "report.md",
    "html": "report.html",
    "json": REPORT_FILE,
    "csv": "report.csv",
    "junit": "junit.xml",
}
"""What can be asked for, and its file; with html also the plots, a file each."""
_TEXTS: dict[str, Callable[[Report, Exhibits], str]] = {
    "md": lambda report, exhibits: render(report, "report.md", exhibits),
    "html": lambda report, exhibits: render(report, "report.html", exhibits),
    "csv": lambda report, _: tidy(report),
    "junit": lambda report, _: junit(report),
}


def write(report: Report, folder: Path, formats: Iterable[str] = tuple(FORMATS)) -> list[Path]:
    """The files of `formats` in `folder`, each atomically; the records are looked for there.

    Raises `SpecError` for other formats.
    """
    names = list(formats)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    exhibits = Exhibits()
    if {"md", "html"} & set(names):
        exhibits = exhibits_of(report, folder)
    texts = {name: _TEXTS[name](report, exhibits) for name in names if name != "json"}
    written = []
    for name in names:
        path = folder / FORMATS[name]
        if name == "json":
            report.write_json(folder)
        else:
            with write_atomically(path) as temporary:
                temporary.write_text(texts[name], encoding="utf-8", newline="")
        written.append(path)
    if "html" in names:
        exhibits.write(folder)
    return written
