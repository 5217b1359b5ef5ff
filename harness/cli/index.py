"""`harness index`: write the list of the reports in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.errors import SpecError
from harness.report.index import README, write_index

__all__ = ["index_command"]


def index_command(
    reports: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder that holds output folders.")
    ] = Path("reports"),
) -> None:
    """List the reports of a folder in its README.md: verdict, command and first paragraph.

    Lists the folders in DIR/published, or, if there is no such folder, the output folders in DIR.
    A README.md beside a report adds the text: its first paragraph is shown.

    Example: harness index reports
    """
    if not reports.is_dir():
        raise SpecError(
            "an index lists the output folders in a folder",
            f"no folder {reports}",
            "pass the folder that holds them, or run a command first",
        )
    changed = write_index(reports)
    Console().print(f"{reports / README}: {'written' if changed else 'unchanged'}", soft_wrap=True)
