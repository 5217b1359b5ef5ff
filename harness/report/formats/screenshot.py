"""The terminal view of a report -> an SVG picture.

python -m harness.report.formats.screenshot RUN_DIR FILE.svg
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.report.formats.terminal import print_report
from harness.results.record import write_atomically
from harness.results.report import Report

__all__ = ["picture"]

_WIDTH = 124


def picture(report: Report, command: str) -> str:
    """An SVG of `command` and of what it prints in the end."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(f"[bold]$ {command}[/]")
    print_report(report, console)
    return console.export_svg(title=command)


def main(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    target: Annotated[Path, typer.Argument(help="The SVG file.")],
    command: Annotated[str, typer.Option(help="Shown as the command typed.")] = "make run",
) -> None:
    """Draw what the terminal shows of a report."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as path:
        path.write_text(picture(Report.read(run_dir), command), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
