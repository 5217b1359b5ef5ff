"""`harness accept`: what later runs are held against."""

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
            help="The output folder of harness bench or harness check, or of harness run, which "
            "has no speeds."
        ),
    ],
    baseline: Annotated[
        Path,
        typer.Option(
            metavar="FILE_OR_DIR",
            help="The folder of baselines, one file for each case and machine class; or one file.",
        ),
    ],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why this is what later runs should be like.")
    ],
) -> int:
    """Make a finished run the baseline of `harness check`, and show what that changes.

    Example: harness accept reports/RUN --baseline baselines --reason "fused AdamW everywhere"
    """
    console = output_console()
    for one in accept(run_dir, baseline, reason):
        _show(one, console)
    return 0


def _show(one: Accepted, console: Console) -> None:
    """What changed, and what the baseline does not hold."""
    changed = [item for item in one.changes if item.listed != "unchanged"]
    if changed:
        table = Table(title=f"{escape(one.case)}: against the former one", title_justify="left")
        for heading in ("loop", "what", "would be", "words"):
            table.add_column(heading, overflow="fold")
        for item in changed:
            table.add_row(
                *map(escape, (item.loop, item.metric, item.listed.replace("_", " "), item.words))
            )
        console.print(table)
    said = f"{one.case}: accepted as {one.path}"
    if one.former is None:
        said += "; there was none before"
    else:
        same = len(one.changes) - len(changed)
        said += f"; against {one.former.path.name}: {len(changed)} changes, {same} unchanged"
        if one.former.path == one.path:
            said += ", the former one is kept in its history"
    console.print(Text(said), soft_wrap=True)
    if one.baseline.speeds is None:
        remedy = "accept the output folder of harness bench, or check with --exact-only"
        console.print(Text(f"{one.case}: it holds no speeds: {remedy}"), soft_wrap=True)
    if any(facts.peak_allocated_bytes is None for facts in one.baseline.loops.values()):
        console.print(Text(f"{one.case}: it holds no peak memory"), soft_wrap=True)
