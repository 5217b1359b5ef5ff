"""`harness history`: the accepted baselines of a case, in order."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.cli.shared import output_console
from harness.errors import SpecError, unknown_name
from harness.regression.baseline import cases_in
from harness.regression.history import (
    NO_RUPTURES,
    Entry,
    change_points,
    entries,
    exact_changes,
    has_ruptures,
    plot,
)
from harness.results.benchmark import CONTROL
from harness.units import quantity

__all__ = ["history_command"]

_HEADINGS = ("no.", "accepted", "commit", "time per step", "peak memory", "values that changed")


def history_command(
    case: Annotated[str, typer.Argument(help="A case that has a baseline.")],
    baseline: Annotated[
        Path,
        typer.Option(
            metavar="FILE_OR_DIR", help="The folder that harness accept wrote, or one file of it."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for an SVG plot of each machine class. Default: no plot."),
    ] = None,
) -> int:
    """Show every accepted baseline of a case, and from which one on its speed changed.

    Example: harness history paraphrase --baseline baselines --out reports/history
    """
    known = cases_in(baseline)
    if case not in known:
        raise unknown_name("case with a baseline", case, sorted(known))
    console = output_console()
    found = entries(baseline, case)
    for name, group in groupby(found, key=lambda entry: entry.machine_class):
        series = list(group)
        _show(name, series, console)
        if out is not None:
            path = out / f"{case}@{name}.svg"
            try:
                out.mkdir(parents=True, exist_ok=True)
                plot(series, path)
            except OSError as error:
                raise SpecError(
                    "--out takes a folder that can be written", error, "choose another"
                ) from None
            console.print(Text(f"Plot: {path}"), soft_wrap=True)
    return 0


def _show(name: str, series: list[Entry], console: Console) -> None:
    case = series[0].baseline.case
    table = Table(title=f"{escape(case)} on {escape(name)}", title_justify="left")
    for heading in (*_HEADINGS, "reason"):
        table.add_column(heading, overflow="fold")
    before = None
    for entry in series:
        table.add_row(*map(escape, _row(entry, exact_changes(before, entry.baseline))))
        before = entry.baseline
    console.print(table)
    if not has_ruptures():
        console.print(Text(NO_RUPTURES), soft_wrap=True)
        return
    for arm in dict.fromkeys(arm for one in series for arm in one.baseline.ratios):
        if arm != CONTROL and (points := change_points(series, arm)):
            numbers = ", ".join(map(str, points))
            console.print(Text(f"{arm}: the speed changed at no. {numbers}"), soft_wrap=True)


def _row(entry: Entry, changed: str) -> tuple[str, ...]:
    baseline = entry.baseline
    ratios = [
        f"{arm} {ratio:.3f} ({low:.3f} to {high:.3f})"
        for arm, (ratio, low, high) in baseline.ratios.items()
        if arm != CONTROL
    ]
    peaks = [
        f"{loop} {quantity(facts.peak_allocated_bytes, 'B')}"
        for loop, facts in baseline.loops.items()
    ]
    return (
        str(entry.number),
        baseline.accepted_at,
        (baseline.commit or "-")[:12],
        "\n".join(ratios) or "-",
        "\n".join(peaks),
        changed,
        baseline.reason,
    )
