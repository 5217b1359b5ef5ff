"""A plot as data, drawn in two widths, and the line that all plots of time series share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.report.plots.svg import NARROW_PX, WIDE_PX, svg
from harness.report.plots.time_series import TimeSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Plot", "draw_line", "drawn_twice"]


@dataclass(frozen=True)
class Plot:
    """One plot."""

    name: str
    """The name of its file without the extension; unique within a report."""
    title: str
    description: str
    """What the plot shows, in sentences, for readers who cannot see it."""
    wide: str
    """The drawing as SVG, for a desktop and for a file of its own."""
    narrow: str
    """The same for a phone."""


def drawn_twice(name: str, title: str, description: str, draw: Callable[[float], Figure]) -> Plot:
    """A plot whose figure `draw` makes for each of the two widths, in pixels."""
    wide, narrow = (svg(draw(width), title, description) for width in (WIDE_PX, NARROW_PX))
    return Plot(name, title, description, wide, narrow)


def draw_line(
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
