"""The results of a benchmark -> SVG plots: ratios, rounds, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.report.plots.plot import Plot, draw_line, drawn_twice
from harness.report.plots.svg import COLOURS, FONT_PX, bare, drawing, figure, label, margins
from harness.report.plots.time_series import Array, TimeSeries, reduced
from harness.units import quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Bar", "Ratio", "forest_plot", "memory_plot", "rounds_plot"]

_ARMS = (
    ("one", "-"),
    ("two", (0, (4, 1.5))),
    ("three", (0, (1, 1.2))),
    ("four", (0, (5, 1.5, 1, 1.5))),
    ("five", (0, (2, 3))),
)
"""Colour and dashes of each arm, used in turn."""


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
    with drawing():
        return drawn_twice(name, title, description, lambda width: _forest(ratios, margin, width))


def _forest(ratios: Sequence[Ratio], margin: float, width: float) -> Figure:
    bounds = [1 / (1 + margin), 1 + margin, *(b for one in ratios for b in one.interval)]
    padding = 0.06 * (max(bounds) - min(bounds))
    drawn = figure(width, 64 + 40 * len(ratios))
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
    margins(drawn, left=14, right=14, top=6, bottom=42)
    return drawn


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
    with drawing():
        return drawn_twice(
            name, title, f"{description}.", lambda width: _rounds(what, arms, sessions, width)
        )


def _rounds(
    what: str, arms: Sequence[tuple[str, Array]], sessions: Sequence[int], width: float
) -> Figure:
    columns = max(2, int(width // 180))
    rows = -(-len(arms) // columns)
    drawn = figure(width, 220 + 16 * rows)
    axes = drawn.subplots()
    for begin in sessions[1:]:
        axes.axvline(begin - 0.5, color=COLOURS["soft"], linewidth=0.8, linestyle=(0, (1, 2)))
    for place, (arm, values) in enumerate(arms):
        colour, dashes = _ARMS[place % len(_ARMS)]
        rounds = np.arange(1, len(values) + 1, dtype=np.float64)
        series = reduced(TimeSeries(rounds, 1e3 * values))
        draw_line(axes, series, COLOURS[colour], dashes, 1.3, label(arm))
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("round; dotted line: new session")
    axes.set_title(f"{what}, ms; lower is better", loc="left", fontsize=FONT_PX, pad=4)
    bare(axes)
    drawn.legend(loc="upper left", ncols=columns, frameon=False, bbox_to_anchor=(0.0, 1.0))
    margins(drawn, left=56, right=12, top=28 + 16 * rows, bottom=42)
    return drawn


def memory_plot(name: str, title: str, bars: Sequence[Bar]) -> Plot:
    """A bar for each arm; the axis begins at zero."""
    description = f"{title}: " + "; ".join(
        f"{bar.name} {quantity(bar.size_bytes, 'B')}" for bar in bars
    )
    with drawing():
        return drawn_twice(name, title, f"{description}.", lambda width: _memory(bars, width))


def _memory(bars: Sequence[Bar], width: float) -> Figure:
    most = max(bar.size_bytes for bar in bars)
    drawn = figure(width, 24 + 40 * len(bars))
    axes = drawn.subplots()
    for place, bar in enumerate(bars):
        share = bar.size_bytes / most
        axes.barh(place + 0.12, share, height=0.34, color=COLOURS["one"])
        axes.text(0, place - 0.3, label(bar.name), va="center")
        axes.text(1, place - 0.3, quantity(bar.size_bytes, "B"), va="center", ha="right")
    axes.set_ylim(len(bars) - 0.5, -0.6)
    axes.set_xlim(0, 1)
    axes.axis("off")
    margins(drawn, left=14, right=14, top=4, bottom=4)
    return drawn
