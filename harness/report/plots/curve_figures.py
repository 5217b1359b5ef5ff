"""The curves of two runs -> SVG plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.report.plots.plot import Plot, draw_line
from harness.report.plots.svg import COLOURS, FONT_PX, bare, figure, label, svg
from harness.report.plots.time_series import (
    Array,
    Curve,
    PairCurves,
    TimeSeries,
    non_finite,
    reduced,
)
from harness.units import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["pair_plot"]

_RUNS = (("one", "-"), ("two", (0, (3, 2))))
_SHORT = 14  # characters of a name that leaves room for a second column
_WIDEST = 1e3  # ratio of highest to lowest difference from which the axis is logarithmic


def pair_plot(pair: PairCurves, curve: Curve, name: str) -> Plot:
    """Both runs in one plot; below, on a separate scale, their difference."""
    names = pair.comparison.reference, pair.comparison.candidate
    title = f"{curve.title}, {names[1]} against {names[0]}"
    description = _describe(pair, curve)
    with figure(310) as drawn:
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(1.9, 1))
        runs = (curve.reference, curve.candidate)
        for run, one, (colour, dashes), width in zip(runs, names, _RUNS, (3.0, 1.5), strict=True):
            draw_line(above, reduced(run), COLOURS[colour], dashes, width, label(one))
        _rugs(above, runs)
        _difference(below, curve.difference)
        if pair.first_step is not None:
            mark = {
                "color": COLOURS["mark"],
                "linewidth": 1.2,
                "linestyle": (0, (2, 2)),
                "zorder": 1,
            }
            below.axvline(pair.first_step, **mark)
            above.axvline(
                pair.first_step,
                label=f"first divergence, step {pair.first_step}",
                **mark,
            )
        for axes, heading in ((above, curve.title), (below, "difference")):
            bare(axes)
            axes.set_title(heading, loc="left", fontsize=FONT_PX, pad=4)
        below.set_xlabel("step")
        columns = 1 if max(map(len, names)) > _SHORT else 2
        drawn.legend(loc="upper left", ncols=columns, frameon=False, bbox_to_anchor=(0.0, 1.01))
        top = 0.79 if columns == 2 else 0.73
        drawn.subplots_adjust(left=0.15, right=0.97, top=top, bottom=0.135, hspace=0.34)
        return Plot(name, title, description, svg(drawn, title, description))


def _difference(axes: Axes, difference: TimeSeries) -> None:
    """The difference as a line, on a logarithmic axis if it spans many orders of magnitude."""
    differing = difference.values[difference.values > 0]
    colour = COLOURS["four"]
    draw_line(axes, reduced(_without_zeros(difference)), colour, "-", 1.1)
    if not len(differing):
        axes.plot(difference.steps[[0, -1]], [0, 0], color=colour, linewidth=1.1)
        axes.set_ylim(-1, 1)
        axes.set_yticks([0])
        axes.text(0.5, 0.72, "no difference at any step", transform=axes.transAxes, ha="center")
    elif differing.max() > _WIDEST * differing.min():
        axes.set_yscale("log")
        axes.set_yticks(_powers(differing), labels=[f"{p:g}" for p in _powers(differing)])
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=0)


def _describe(pair: PairCurves, curve: Curve) -> str:
    """The description of a plot of curves."""
    difference = curve.difference
    runs = curve.reference, curve.candidate
    parts = [
        f"{name} {_ends(run)}"
        for name, run in zip(
            (pair.comparison.reference, pair.comparison.candidate), runs, strict=True
        )
    ]
    text = f"{curve.title}: {'; '.join(parts)}. "
    steps = difference.steps[difference.values > 0]
    if len(steps):
        largest = int(np.nanargmax(difference.values))
        text += (
            f"They differ at {len(steps)} of {len(difference.steps)} steps, first at step "
            f"{steps[0]:.0f}, most at step {difference.steps[largest]:.0f}, by "
            f"{number(float(difference.values[largest]), 3)}"
        )
    else:
        text += f"No difference at any of {len(difference.steps)} common steps"
    undefined = non_finite(runs)
    return f"{text}; {undefined}." if undefined else f"{text}."


def _ends(run: TimeSeries) -> str:
    first, last = (number(float(value), 4) for value in run.values[[0, -1]])
    return f"from {first} to {last}"


def _without_zeros(series: TimeSeries) -> TimeSeries:
    """The series with gaps in place of zeros, which a logarithmic axis cannot show."""
    return TimeSeries(series.steps, np.where(series.values > 0, series.values, np.nan))


def _powers(values: Array) -> list[float]:
    low, high = (int(np.floor(np.log10(bound))) for bound in (values.min(), values.max()))
    return [10.0**power for power in range(low, high + 2, -(-(high + 1 - low) // 3))]


def _rugs(axes: Axes, runs: Sequence[TimeSeries]) -> None:
    """Crosses at the bottom, at steps whose value is not finite; at most 60 of each run."""
    for run, (colour, _) in zip(runs, _RUNS, strict=True):
        if len(run.non_finite_steps):
            shown = np.unique(
                np.round(np.linspace(0, len(run.non_finite_steps) - 1, 60)).astype(int)
            )
            axes.plot(
                run.non_finite_steps[shown],
                np.full(len(shown), 0.03),
                linestyle="none",
                marker="x",
                color=COLOURS[colour],
                transform=axes.get_xaxis_transform(),
            )
