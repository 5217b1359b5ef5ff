"""`harness compare`: two records, or two output folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.shared import (
    DigOption,
    LocalizeOption,
    MarginOption,
    OutOption,
    command_line,
    show,
)
from harness.comparison.compare_folders import compare_folders
from harness.comparison.seeds import parse_margins
from harness.diagnosis.localize import localize_report

__all__ = ["compare_command"]


def compare_command(
    reference: Annotated[Path, typer.Argument(help="A record, or the output folder of a run.")],
    candidate: Annotated[Path, typer.Argument(help="The same, to be judged against it.")],
    noise: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN_DIR",
            help="Judge pairs that are not identical against the noise that a run with --noise "
            "found; both sides must have been made with --noise too.",
        ),
    ] = None,
    margin: MarginOption = None,
    localize: LocalizeOption = False,
    dig: DigOption = False,
    out: OutOption = None,
) -> int:
    """Compare two records, or two output folders pair by pair. Needs torch only to localize."""
    report, folder = compare_folders(
        reference,
        candidate,
        out,
        command_line(),
        parse_margins(margin or ()),
        noise,
    )
    if localize or dig:
        report = localize_report(report, folder, None, Console(stderr=True))
    return show(report, folder)
