"""`harness index`: the list of the published runs, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.errors import SpecError
from harness.report.index import write_index

__all__ = ["index_command"]


def index_command(
    published: Annotated[
        Path, typer.Argument(help="Folder of published runs, whose README.md stands above it.")
    ] = Path("reports/published"),
) -> None:
    """List the published runs in reports/README.md, each by what its folder says of itself.

    A run tells by its report.json; other results by the first paragraph of a README.md beside
    them, and a line that begins with "Made by".
    """
    if not published.is_dir():
        raise SpecError("published runs lie in a folder", published, "pass the one that holds them")
    readme = published.parent / "README.md"
    changed = write_index(readme, published)
    Console().print(f"{readme}: {'written' if changed else 'was current'}", soft_wrap=True)
