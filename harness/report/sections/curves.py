"""The curves of the pairs: plots, and the same data in numbers."""

from __future__ import annotations

import numpy as np

from harness.report.document import (
    Block,
    Column,
    Figure,
    Figures,
    Section,
    Sentence,
    Subsection,
    Table,
)
from harness.report.plots.collect import PairPlots
from harness.report.plots.time_series import COLUMNS, Curve, PairCurves, TimeSeries
from harness.report.sections.pairs import pair_name
from harness.report.sections.source import Source
from harness.report.text.values import capitalized
from harness.units import number

__all__ = ["section"]

_COLUMNS = (
    Column("quantity", "text"),
    Column("reference", note="first → last"),
    Column("candidate", note="first → last"),
    Column("steps that differ", note="of the common steps"),
    Column("first at", note="step"),
    Column("largest difference", note="absolute"),
    Column("at", note="step"),
)


def section(source: Source) -> Section | None:
    """The curves of each pair with records, and why other pairs have none."""
    plots = source.plots
    if plots is None or not (source.report.comparisons and source.report.runs):
        return None
    blocks: list[Block] = [_pair(pair) for pair in plots.pairs]
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
    return Section("curves", "Curves", tuple(blocks), subject="pairs with curves")


def _pair(pair: PairPlots) -> Subsection:
    curves = pair.pair
    seed = "" if curves.seed is None else f", seed {curves.seed}"
    name = f"{pair_name(curves.comparison)}{seed}"
    blocks: list[Block] = []
    if curves.steps > 2 * COLUMNS:
        blocks.append(
            Sentence(
                f"The run has {curves.steps} steps. Each column of pixels shows its lowest and "
                "its highest value, so every spike is visible."
            )
        )
    blocks.append(Figures(tuple(Figure(plot) for plot in pair.plots)))
    blocks.append(_table(name, curves))
    return Subsection(name, tuple(blocks))


def _table(name: str, pair: PairCurves) -> Table:
    rows = tuple(_row(curve) for curve in pair.curves)
    return Table(f"Curves in numbers, {name}", _COLUMNS, rows)


def _row(curve: Curve) -> tuple[str, ...]:
    difference = curve.difference
    steps = difference.steps[difference.values > 0]
    largest, at = "none", ""
    if len(steps):
        place = int(np.nanargmax(difference.values))
        largest, at = number(float(difference.values[place]), 3), f"{difference.steps[place]:.0f}"
    return (
        curve.title,
        _ends(curve.reference),
        _ends(curve.candidate),
        f"{len(steps)} of {len(difference.steps)}",
        f"{steps[0]:.0f}" if len(steps) else "",
        largest,
        at,
    )


def _ends(series: TimeSeries) -> str:
    return " → ".join(number(float(value), 4) for value in series.values[[0, -1]])
