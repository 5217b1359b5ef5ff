"""`harness report` and `harness publish`: the pages of a run again, or kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.shared import show
from harness.report.index import has_index, write_index
from harness.report.publish import publish
from harness.report.write import FORMATS, write
from harness.results.report import Report

__all__ = ["publish_command", "report_command"]


def report_command(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    formats: Annotated[
        str, typer.Option("--format", help=f"Some of: {', '.join(FORMATS)}.")
    ] = ",".join(FORMATS),
) -> int:
    """Print a report again and write its files anew, its plots read from the records beside it.

    md: the size of a step summary; html: one page that needs no network, and its plots as SVG
    files; json: a stable contract; csv: one row for each thing that was found; junit: for a CI.

    Example: harness report reports/published/mrpc-minilm-native --format md,junit
    """
    report = Report.read(run_dir)
    write(report, run_dir, [name.strip() for name in formats.split(",")])
    return show(report, run_dir)


def publish_command(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    name: Annotated[str, typer.Argument(help="Its name under reports/published/.")],
) -> None:
    """Copy a run to reports/published/NAME, its per-tensor trace thinned to stay under 3 MB.

    The index in reports/README.md is written anew where there is one.
    """
    target = Path("reports") / "published" / name
    kept = publish(run_dir, target)
    readme = target.parent.parent / "README.md"
    if has_index(readme):
        write_index(readme, target.parent)
    Console().print(f"Published: {target} (per-tensor trace: {kept})", soft_wrap=True)
