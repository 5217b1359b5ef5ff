"""`harness export`: the curves of runs for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.completion import complete_exports
from harness.report.export import EXPORTS, export

__all__ = ["export_command"]


def export_command(
    run_dir: Annotated[Path, typer.Argument(help="A record, or the output folder of a run.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help=f"One of: {', '.join(EXPORTS)}.",
            autocompletion=complete_exports,
        ),
    ] = "csv",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The file to write; for tensorboard the folder. Default: in the output folder, "
            "or beside the record.",
        ),
    ] = None,
) -> None:
    """Write the curves of each run: losses, learning rates, gradient norms and evaluations.

    csv and parquet hold one row for each run and update, with the run's case, loop, seed, date,
    commit and versions. tensorboard holds one folder for each run.

    Example: harness export reports/20261127-093000-paraphrase --to csv
    """
    target = export(run_dir, to, out)
    Console().print(f"Exported: {target}", soft_wrap=True, highlight=False, markup=False)
