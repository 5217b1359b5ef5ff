"""Numbers -> SVG plots: curves of two runs, ratios, rounds, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.report.plots.svg import COLOURS, FONT_PX, bare, figure, label, svg
from harness.report.plots.time_series import (
    Array,
    Curve,
    PairCurves,
    TimeSeries,
    non_finite,
    reduced,
)
from harness.units import number, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Bar",
    "Plot",
    "Ratio",
    "forest_plot",
    "memory_plot",
    "pair_plot",
    "rounds_plot",
]

_RUNS = (("one", "-"), ("two", (0, (3, 2))))
_ARMS = (
    ("one", "-"),
    ("two", (0, (4, 1.5))),
    ("three", (0, (1, 1.2))),
    ("four", (0, (5, 1.5, 1, 1.5))),
    ("five", (0, (2, 3))),
)
"""Colour and dashes of each arm, used in turn."""
_SHORT = 14  # characters of a name that leaves room for a second column
_WIDEST = 1e3  # ratio of highest to lowest difference from which the axis is logarithmic


@dataclass(frozen=True)
class Plot:
    """One plot."""

    name: str
    """The name of its file without the extension; unique within a report."""
    title: str
    description: str
    """What the plot shows, in sentences, for readers who cannot see it."""
    svg: str


@dataclass(frozen=True)
class Ratio:
    """One line of a forest plot."""

    name: str
    ratio: float
    interval: tuple[float, float]
    outcome: str


@dataclass(frozen=True)
class Bar:
    """One bar of a plot of memory."""

    name: str
    size_bytes: float


def pair_plot(pair: PairCurves, curve: Curve, name: str) -> Plot:
    """Both runs in one plot; below, on a separate scale, their difference."""
    names = pair.comparison.reference, pair.comparison.candidate
    title = f"{curve.title}, {names[1]} against {names[0]}"
    description = describe(pair, curve)
    with figure(310) as drawn:
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(1.9, 1))
        runs = (curve.reference, curve.candidate)
        for run, one, (colour, dashes), width in zip(runs, names, _RUNS, (3.0, 1.5), strict=True):
            _line(above, reduced(run), COLOURS[colour], dashes, width, label(one))
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
    _line(axes, reduced(_without_zeros(difference)), colour, "-", 1.1)
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


def describe(pair: PairCurves, curve: Curve) -> str:
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


def _line(
    axes: Axes,
    series: TimeSeries,
    colour: str,
    dashes: object,
    width: float,
    name: str = "",
) -> None:
    """A line through the finite values; a point for a finite value between two gaps."""
    axes.plot(
        series.steps,
        series.values,
        color=colour,
        linestyle=dashes,
        linewidth=width,
        label=name or "_nolegend_",
    )
    gone = np.concatenate([[True], np.isnan(series.values), [True]])
    alone = ~gone[1:-1] & gone[:-2] & gone[2:]
    if alone.any():
        points = series.steps[alone], series.values[alone]
        axes.plot(*points, linestyle="none", marker="o", markersize=2.2, color=colour)


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


def forest_plot(name: str, title: str, ratios: Sequence[Ratio], margin: float) -> Plot:
    """Ratios with their intervals, the band of negligible differences, and a line at 1."""
    description = (
        f"{title}: "
        + "; ".join(
            f"{one.name} {one.ratio:.4f} ({one.interval[0]:.4f} to {one.interval[1]:.4f}), "
            f"{one.outcome}"
            for one in ratios
        )
        + f". Between {1 / (1 + margin):.3f} and {1 + margin:.3f} a difference is negligible."
    )
    bounds = [1 / (1 + margin), 1 + margin, *(b for one in ratios for b in one.interval)]
    padding = 0.06 * (max(bounds) - min(bounds))
    with figure(64 + 40 * len(ratios)) as drawn:
        axes = drawn.subplots()
        axes.axvspan(1 / (1 + margin), 1 + margin, color=COLOURS["band"], linewidth=0)
        axes.axvline(1, color=COLOURS["soft"], linewidth=1)
        for place, one in enumerate(ratios):
            colour = COLOURS["soft"] if one.outcome == "control" else COLOURS["one"]
            axes.plot(one.interval, (place, place), color=colour, linewidth=2.4)
            axes.plot([one.ratio], [place], marker="D", markersize=5.5, color=colour)
            axes.text(
                0,
                place - 0.3,
                f"{label(one.name, 42)}: {one.outcome}",
                transform=axes.get_yaxis_transform(),
                va="center",
                bbox={"facecolor": COLOURS["ground"], "edgecolor": "none", "pad": 1},
            )
        axes.set_ylim(len(ratios) - 0.6, -0.7)
        axes.set_xlim(min(bounds) - padding, max(bounds) + padding)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("step time / reference; right of 1 is slower")
        bare(axes)
        height = 64 + 40 * len(ratios)
        drawn.subplots_adjust(left=0.04, right=0.96, top=1 - 6 / height, bottom=42 / height)
        return Plot(name, title, description, svg(drawn, title, description))


def rounds_plot(
    name: str, title: str, what: str, arms: Sequence[tuple[str, Array]], sessions: Sequence[int]
) -> Plot:
    """Seconds per step of each arm [rounds of all sessions]; a line at the start of a session.

    `sessions`: the first round of each session.
    """
    description = f"{title}. " + "; ".join(
        f"{arm}: median {quantity(float(np.nanmedian(values)), 's')}, from "
        f"{quantity(float(np.nanmin(values)), 's')} to {quantity(float(np.nanmax(values)), 's')}"
        for arm, values in arms
    )
    with figure(250) as drawn:
        axes = drawn.subplots()
        for begin in sessions[1:]:
            axes.axvline(begin - 0.5, color=COLOURS["soft"], linewidth=0.8, linestyle=(0, (1, 2)))
        for place, (arm, values) in enumerate(arms):
            colour, dashes = _ARMS[place % len(_ARMS)]
            rounds = np.arange(1, len(values) + 1, dtype=np.float64)
            series = reduced(TimeSeries(rounds, 1e3 * values))
            _line(axes, series, COLOURS[colour], dashes, 1.3, label(arm))
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("round; dotted line: new session")
        axes.set_title(f"{what}, ms; lower is better", loc="left", fontsize=FONT_PX, pad=4)
        bare(axes)
        drawn.legend(loc="upper left", ncols=2, frameon=False, bbox_to_anchor=(0.0, 1.0))
        rows = -(-len(arms) // 2)
        drawn.subplots_adjust(left=0.16, right=0.97, top=0.89 - 0.065 * rows, bottom=0.17)
        return Plot(name, title, f"{description}.", svg(drawn, title, f"{description}."))


def memory_plot(name: str, title: str, bars: Sequence[Bar]) -> Plot:
    """A bar for each arm; the axis begins at zero."""
    description = f"{title}: " + "; ".join(
        f"{bar.name} {quantity(bar.size_bytes, 'B')}" for bar in bars
    )
    most = max(bar.size_bytes for bar in bars)
    height = 24 + 40 * len(bars)
    with figure(height) as drawn:
        axes = drawn.subplots()
        for place, bar in enumerate(bars):
            share = bar.size_bytes / most
            axes.barh(place + 0.12, share, height=0.34, color=COLOURS["one"])
            axes.text(0, place - 0.3, label(bar.name), va="center")
            axes.text(1, place - 0.3, quantity(bar.size_bytes, "B"), va="center", ha="right")
        axes.set_ylim(len(bars) - 0.5, -0.6)
        axes.set_xlim(0, 1)
        axes.axis("off")
        drawn.subplots_adjust(left=0.04, right=0.96, top=0.97, bottom=0.03)
        return Plot(name, title, f"{description}.", svg(drawn, title, f"{description}."))
