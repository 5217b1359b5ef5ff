"""The curves of the runs: plots of each quantity, and the same data in numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.report.document import (
    Block,
    Column,
    Figure,
    Figures,
    Folded,
    Section,
    Sentence,
    Subsection,
    Table,
    filled_columns,
)
from harness.report.plots.collect import GroupPlots
from harness.report.plots.time_series import COLUMNS, Candidate, Curve, RunCurves, TimeSeries
from harness.report.sections.source import Source
from harness.report.text.values import capitalized
from harness.units import number

__all__ = ["section"]

_COLUMNS = (
    Column("quantity", "text"),
    Column("run", "text"),
    Column("reference", note="first → last"),
    Column("this run", note="first → last"),
    Column("steps that differ", note="of the common steps"),
    Column("first at", note="step"),
    Column("largest difference", note="absolute"),
    Column("at", note="step"),
)


def section(source: Source) -> Section | None:
    """The curves of each reference with records, and why other pairs have none.

    In a benchmark they are folded: its question is another.
    """
    plots = source.plots
    if plots is None or not (source.report.comparisons and source.report.runs):
        return None
    blocks: list[Block] = []
    for group in plots.groups:
        name = f"{group.group.case}: runs compared with {group.group.reference}"
        if group.group.seed is not None:
            name += f", seed {group.group.seed}"
        blocks.append(Subsection(name, tuple(_group(name, group))))
    left_out = plots.curves.left_out
    if left_out:
        blocks.append(
            Sentence(
                f"{left_out} more pair{'s have' if left_out > 1 else ' has'} no plots here; pairs "
                "that differ are drawn first. Run harness compare on two of the records to draw "
                "their curves."
            )
        )
    blocks += [Sentence(f"{capitalized(note)}.") for note in plots.curves.notes]
    if source.report.bench and blocks:
        blocks = [Folded("Curves of the traced runs", tuple(blocks))]
    return Section("curves", "Curves", tuple(blocks), subject="references with curves")


def _group(name: str, group: GroupPlots) -> Iterator[Block]:
    if group.group.steps > 2 * COLUMNS:
        yield Sentence(
            f"The run has {group.group.steps} steps. Each column of pixels shows its lowest and "
            "its highest value, so every spike is visible."
        )
    yield Figures(tuple(Figure(plot) for plot in group.plots))
    table = f"Curves in numbers, {name}"
    yield Folded(table, (_table(table, group.group),))


def _table(name: str, group: RunCurves) -> Table:
    rows = tuple(_row(curve, one) for curve in group.curves for one in curve.candidates)
    return filled_columns(Table(name, _COLUMNS, rows))


def _row(curve: Curve, one: Candidate) -> tuple[str, ...]:
    difference = curve.difference(one)
    steps = difference.steps[difference.values > 0]
    largest, at = "none", ""
    if len(steps):
        place = int(np.nanargmax(difference.values))
        largest, at = number(float(difference.values[place]), 3), f"{difference.steps[place]:.0f}"
    return (
        curve.title,
        one.pair.candidate,
        _ends(curve.reference),
        _ends(one.series),
        f"{len(steps)} of {len(difference.steps)}",
        f"{steps[0]:.0f}" if len(steps) else "",
        largest,
        at,
    )


def _ends(series: TimeSeries) -> str:
    return " → ".join(number(float(value), 4) for value in series.values[[0, -1]])
