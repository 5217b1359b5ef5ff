"""`harness report` and `harness publish`: write the pages of a run again, or keep a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.options import JsonOption, QuietOption, VerboseOption
from harness.cli.shared import show, view_of
from harness.report.index import PUBLISHED, README, has_index, write_index
from harness.report.publish import publish
from harness.report.write import DEFAULT_FORMATS, FORMATS, write
from harness.results.report import Report

__all__ = ["publish_command", "report_command"]


def report_command(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    formats: Annotated[
        str, typer.Option("--format", help=f"Some of: {', '.join(FORMATS)}.")
    ] = ",".join(DEFAULT_FORMATS),
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Print a report again and write its files again. The plots come from the records beside it.

    md: at most the size of a step summary. html: one page that needs no network, and its plots as
    SVG files. json: the stable format for programs. csv: one row for each finding. junit: for a CI.
    bencher, github-benchmark: times of steps and peak memory, for dashboards.

    Example: harness report reports/20261127-093000-paraphrase --format md,junit
    """
    view = view_of(verbose, quiet, as_json)
    report = Report.read(run_dir)
    write(report, run_dir, [name.strip() for name in formats.split(",")])
    return show(report, run_dir, view)


def publish_command(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    name: Annotated[str, typer.Argument(help="The new folder's name in reports/published/.")],
    records: Annotated[
        bool,
        typer.Option(
            "--records",
            help="Also copy records, sessions, plots and tables. The folder stays below 3 MB: "
            "per-tensor traces are thinned if they are too large.",
        ),
    ] = False,
) -> None:
    """Copy a report to reports/published/NAME: its page, Markdown and JSON.

    If reports/README.md holds an index, it is updated.

    Example: harness publish reports/20261127-093000-paraphrase my-result
    """
    reports = Path("reports")
    target = reports / PUBLISHED / name
    content = publish(run_dir, target, records)
    if has_index(reports / README):
        write_index(reports)
    Console().print(f"Published: {target} ({content})", soft_wrap=True)
