"""`harness accept`: make a finished run the baseline of later checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.cli.shared import output_console
from harness.regression.accept import Accepted, accept

__all__ = ["accept_command"]


def accept_command(
    run_dir: Annotated[
        Path,
        typer.Argument(
            help="The output folder of harness bench or harness check. One of harness run is taken "
            "too, but has no speeds."
        ),
    ],
    baseline: Annotated[
        Path,
        typer.Option(
            metavar="FILE_OR_DIR",
            help="The folder of baselines, one file for each case and machine class, or one file.",
        ),
    ],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why later runs should be like this one.")
    ],
) -> int:
    """Make a finished run the baseline of `harness check`, and show what changes.

    Example: harness accept reports/RUN --baseline baselines --reason "fused AdamW everywhere"
    """
    console = output_console()
    for one in accept(run_dir, baseline, reason):
        _show(one, console)
    return 0


def _show(one: Accepted, console: Console) -> None:
    """Print the changes, and what the baseline lacks."""
    changed = [item for item in one.changes if item.listed != "unchanged"]
    if changed:
        table = Table(
            title=f"{escape(one.case)}: compared with the previous baseline", title_justify="left"
        )
        for heading in ("loop", "what", "change", "details"):
            table.add_column(heading, overflow="fold")
        for item in changed:
            table.add_row(
                *map(escape, (item.loop, item.metric, item.listed.replace("_", " "), item.sentence))
            )
        console.print(table)
    summary = f"{one.case}: accepted as {one.path}"
    if one.former is None:
        summary += "; there was no baseline before"
    else:
        same = len(one.changes) - len(changed)
        changes = f"{len(changed)} change{'' if len(changed) == 1 else 's'}"
        summary += f"; compared with {one.former.path.name}: {changes}, {same} unchanged"
        if one.former.path == one.path:
            summary += "; the previous baseline is kept in its history"
    console.print(Text(summary), soft_wrap=True)
    if one.baseline.speeds is None:
        remedy = "accept the output folder of harness bench, or check with --exact-only"
        console.print(Text(f"{one.case}: the baseline has no speeds: {remedy}"), soft_wrap=True)
    if any(facts.peak_allocated_bytes is None for facts in one.baseline.loops.values()):
        console.print(Text(f"{one.case}: the baseline has no peak memory"), soft_wrap=True)
