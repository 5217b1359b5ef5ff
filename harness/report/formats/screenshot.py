"""The terminal view of a report -> an SVG picture.

python -m harness.report.formats.screenshot RUN_DIR FILE.svg
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.report.assemble import document_of
from harness.report.formats.terminal import print_document
from harness.results.record import write_atomically
from harness.results.report import Report

__all__ = ["picture"]

_WIDTH = 124


def picture(
    report: Report, command: str, sections: Collection[str] = (), width: int = _WIDTH
) -> str:
    """An SVG of `command` and of what it prints at the end, `width` characters wide.

    `sections`: the titles of the sections to show; empty: all.
    """
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(f"[bold]$ {command}[/]", highlight=False)
    document = document_of(report)
    shown = tuple(
        section for section in document.sections if not sections or section.title in sections
    )
    print_document(replace(document, sections=shown), console, "details")
    return console.export_svg(title=command)


def main(
    run_dir: Annotated[Path, typer.Argument(help="The output folder of a harness command.")],
    target: Annotated[Path, typer.Argument(help="The SVG file.")],
    command: Annotated[str, typer.Option(help="Shown as the command typed.")] = "make run",
    sections: Annotated[
        list[str] | None, typer.Option("--section", help="A section to show, by title; repeat.")
    ] = None,
    width: Annotated[int, typer.Option(help="Characters in a line.")] = _WIDTH,
) -> None:
    """Draw what the terminal shows of a report."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as path:
        drawn = picture(Report.read(run_dir), command, sections or (), width)
        path.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
