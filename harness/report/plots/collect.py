"""What a report can show besides what is said in it: curves of its records, rounds of its bench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.report.plots.benchmark import BenchPanel, bench_panel
from harness.report.plots.curves import COLUMNS, Course, Curves, PairCurves, curves_of
from harness.report.plots.figures import Plot, pair_plot
from harness.results.record import write_atomically
from harness.results.report import Report
from harness.units import number

__all__ = [
    "CURVE_HEADINGS",
    "CURVE_NOTES",
    "NOTHING",
    "PLOTS",
    "DrawnPair",
    "Exhibits",
    "curve_rows",
    "exhibits_of",
]

CURVE_HEADINGS = (
    "quantity",
    "reference",
    "candidate",
    "steps that differ",
    "first at",
    "largest difference",
    "at",
)
CURVE_NOTES = {
    "reference": "first → last",
    "candidate": "first → last",
    "steps that differ": "of those both took",
    "first at": "step",
    "largest difference": "absolute",
    "at": "step",
}
"""Under a heading: what it is."""

PLOTS = "plots"
"""The folder of the plots, within an output folder."""


@dataclass(frozen=True)
class DrawnPair:
    """The curves of a pair and their plots, one each."""

    pair: PairCurves
    plots: tuple[Plot, ...]

    @property
    def reduction(self) -> str:
        """What was done to draw so many steps; empty where each has its point."""
        if self.pair.steps <= 2 * COLUMNS:
            return ""
        return (
            f"Of {self.pair.steps} steps each column of pixels shows its lowest and its highest "
            "value, so no spike is lost."
        )


@dataclass(frozen=True)
class Exhibits:
    """What lies beside a report, read and drawn."""

    curves: Curves = field(default_factory=Curves)
    pairs: tuple[DrawnPair, ...] = ()
    benches: Mapping[str, BenchPanel] = field(default_factory=dict)
    """By case."""

    def plots(self) -> Iterator[Plot]:
        """All of them, in the order of a page."""
        for pair in self.pairs:
            yield from pair.plots
        for bench in self.benches.values():
            yield from bench.plots

    def write(self, folder: Path) -> None:
        """Each plot as a file in `folder`/plots; those of an earlier report are gone then."""
        target = folder / PLOTS
        names = {f"{plot.name}.svg": plot for plot in self.plots()}
        if names:
            target.mkdir(exist_ok=True)
        for name, plot in names.items():
            with write_atomically(target / name) as temporary:
                temporary.write_text(plot.svg, encoding="utf-8")
        for path in target.glob("*.svg"):
            if path.name not in names:
                path.unlink()
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()


NOTHING = Exhibits()
"""Of a report whose folder is not known."""


def exhibits_of(report: Report, folder: Path) -> Exhibits:
    """Read and draw what lies in `folder`. What is missing or damaged is told, never raised."""
    curves = curves_of(report, folder)
    pairs = tuple(
        DrawnPair(
            pair,
            tuple(
                pair_plot(pair, curve, f"curves-{number}-{curve.name.replace('_', '-')}")
                for curve in pair.curves
            ),
        )
        for number, pair in enumerate(curves.pairs, start=1)
    )
    benches = {
        case: bench_panel(report, case, folder, f"bench-{number}")
        for number, case in enumerate(report.bench, start=1)
    }
    return Exhibits(curves, pairs, benches)


def curve_rows(pair: PairCurves) -> list[tuple[str, ...]]:
    """What the plots of a pair show, in numbers: a row a quantity, under `CURVE_HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for curve in pair.curves:
        apart = curve.apart
        steps = apart.steps[apart.values > 0]
        most = "none", ""
        if len(steps):
            place = int(np.nanargmax(apart.values))
            most = number(float(apart.values[place]), 3), f"{apart.steps[place]:.0f}"
        rows.append(
            (
                curve.title,
                _ends(curve.reference),
                _ends(curve.candidate),
                f"{len(steps)} of {len(apart.steps)}",
                f"{steps[0]:.0f}" if len(steps) else "",
                *most,
            )
        )
    return rows


def _ends(course: Course) -> str:
    return " → ".join(number(float(value), 4) for value in course.values[[0, -1]])
