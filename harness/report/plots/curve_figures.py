"""The curves of a reference and of the runs compared with it -> SVG plots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from harness.report.plots.plot import Plot, draw_line, drawn_twice
from harness.report.plots.svg import (
    COLOURS,
    FONT_PX,
    NARROW_PX,
    bare,
    drawing,
    figure,
    label,
    margins,
)
from harness.report.plots.time_series import (
    Array,
    Curve,
    RunCurves,
    TimeSeries,
    non_finite,
    reduced,
)
from harness.units import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve_plot"]

_RUNS = (
    ("one", "-"),
    ("two", (0, (3, 2))),
    ("three", (0, (1, 1.4))),
    ("four", (0, (5, 1.5, 1, 1.5))),
    ("five", (0, (2, 3))),
)
"""Colour and dashes of the reference and of each run that is compared with it."""
_WIDEST = 1e3  # ratio of highest to lowest difference from which the axis is logarithmic
_ROW_PX = 16  # of the legend
_CHARACTER_PX = 6.5


def curve_plot(group: RunCurves, curve: Curve, name: str) -> Plot:
    """All runs in one plot; below, on a separate scale, their differences to the reference."""
    title = f"{curve.title}, {group.case}"
    with drawing():
        return drawn_twice(
            name, title, _describe(group, curve), lambda width: _draw(group, curve, width)
        )


def _draw(group: RunCurves, curve: Curve, width: float) -> Figure:
    names = [group.reference, *(one.pair.candidate for one in curve.candidates)]
    series = [curve.reference, *(one.series for one in curve.candidates)]
    first = {one.first_step: one.pair.candidate for one in curve.candidates if one.first_step}
    longest = max(map(len, map(label, names)))
    longest = max(longest, 28 if first else 0)  # "first divergence, step 1234"
    columns = max(1, int((width - 60) // ((longest + 6) * _CHARACTER_PX)))
    rows = -(-(len(names) + len(first)) // columns)
    wide = width > NARROW_PX
    top = _ROW_PX * rows + 24
    drawn = figure(width, (190 if wide else 215) + top)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(1.9, 1))
    for place, (run, one) in enumerate(zip(series, names, strict=True)):
        colour, dashes = _RUNS[place]
        draw_line(above, reduced(run), COLOURS[colour], dashes, 1.5 if place else 3.2, label(one))
    _rugs(above, series)
    _differences(below, [curve.difference(one) for one in curve.candidates])
    for step in first:
        mark = {"color": COLOURS["mark"], "linewidth": 1.2, "linestyle": (0, (2, 2)), "zorder": 1}
        below.axvline(step, **mark)
        above.axvline(step, label=f"first divergence, step {step}", **mark)
    for axes, heading in ((above, curve.title), (below, "difference to the reference")):
        bare(axes)
        axes.set_title(heading, loc="left", fontsize=FONT_PX, pad=4)
    below.set_xlabel("step")
    drawn.legend(loc="upper left", ncols=columns, frameon=False, bbox_to_anchor=(0.0, 1.01))
    margins(drawn, left=56, right=12, top=top, bottom=38, gap=28)
    return drawn


def _differences(axes: Axes, differences: list[TimeSeries]) -> None:
    """A line for each run, on a logarithmic axis if they span many orders of magnitude."""
    values = np.concatenate([one.values[one.values > 0] for one in differences])
    for place, one in enumerate(differences, start=1):
        colour, dashes = _RUNS[place]
        if np.any(one.values > 0):
            draw_line(axes, reduced(_without_zeros(one)), COLOURS[colour], dashes, 1.3)
    if not len(values):
        steps = differences[0].steps
        axes.plot(steps[[0, -1]], [0, 0], color=COLOURS["two"], linewidth=1.1)
        axes.set_ylim(-1, 1)
        axes.set_yticks([0])
        axes.text(0.5, 0.72, "no difference at any step", transform=axes.transAxes, ha="center")
    elif values.max() > _WIDEST * values.min():
        axes.set_yscale("log")
        axes.set_yticks(_powers(values), labels=[f"{p:g}" for p in _powers(values)])
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=0)


def _describe(group: RunCurves, curve: Curve) -> str:
    """The description of a plot of curves."""
    return f"{curve.title}: {group.reference} {_ends(curve.reference)}. " + " ".join(
        _described(group, curve)
    )


def _described(group: RunCurves, curve: Curve) -> Iterator[str]:
    """A sentence for each run that is compared with the reference."""
    for one in curve.candidates:
        difference = curve.difference(one)
        steps = difference.steps[difference.values > 0]
        text = f"{one.pair.candidate} {_ends(one.series)}: "
        if len(steps):
            largest = int(np.nanargmax(difference.values))
            text += (
                f"differs from {group.reference} at {len(steps)} of {len(difference.steps)} steps, "
                f"first at step {steps[0]:.0f}, most at step {difference.steps[largest]:.0f}, by "
                f"{number(float(difference.values[largest]), 3)}"
            )
        else:
            text += f"no difference at any of {len(difference.steps)} common steps"
        undefined = non_finite([curve.reference, one.series])
        yield f"{text}; {undefined}." if undefined else f"{text}."


def _ends(run: TimeSeries) -> str:
    first, last = (number(float(value), 4) for value in run.values[[0, -1]])
    return f"from {first} to {last}"


def _without_zeros(series: TimeSeries) -> TimeSeries:
    """The series with gaps in place of zeros, which a logarithmic axis cannot show."""
    return TimeSeries(series.steps, np.where(series.values > 0, series.values, np.nan))


def _powers(values: Array) -> list[float]:
    low, high = (int(np.floor(np.log10(bound))) for bound in (values.min(), values.max()))
    return [10.0**power for power in range(low, high + 2, -(-(high + 1 - low) // 3))]


def _rugs(axes: Axes, runs: list[TimeSeries]) -> None:
    """Crosses at the bottom, at steps whose value is not finite; at most 60 of each run."""
    for run, (colour, _) in zip(runs, _RUNS, strict=False):
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
