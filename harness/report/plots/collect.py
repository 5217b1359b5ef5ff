"""Read and draw the data beside a report: curves of its records, rounds of its benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.report.plots.benchmark import BenchPlots, plot_bench
from harness.report.plots.curve_figures import curve_plot
from harness.report.plots.plot import Plot
from harness.report.plots.time_series import Curves, RunCurves, read_curves
from harness.results.record import write_atomically
from harness.results.report import Report

__all__ = ["NO_PLOTS", "PLOTS", "GroupPlots", "Plots", "collect_plots"]

PLOTS = "plots"
"""The folder of the plots, within an output folder."""


@dataclass(frozen=True)
class GroupPlots:
    """The curves of a reference and the runs compared with it, and a plot of each."""

    group: RunCurves
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class Plots:
    """Everything that was drawn for a report."""

    curves: Curves = field(default_factory=Curves)
    groups: tuple[GroupPlots, ...] = ()
    benches: Mapping[str, BenchPlots] = field(default_factory=dict)
    """By case."""

    def all(self) -> Iterator[Plot]:
        """Every plot, in the order of a page."""
        for group in self.groups:
            yield from group.plots
        for bench in self.benches.values():
            yield from bench.plots()

    @contextmanager
    def written(self, folder: Path) -> Iterator[None]:
        """Once the body has ended, each plot stands in `folder`/plots, and no other.

        If it raises, or there is no space for a plot, the folder stays as it was.
        """
        target = folder / PLOTS
        names = {f"{plot.name}.svg": plot for plot in self.all()}
        try:
            with ExitStack() as all_or_none:
                if names:
                    target.mkdir(exist_ok=True)
                for name, plot in names.items():
                    temporary = all_or_none.enter_context(write_atomically(target / name))
                    temporary.write_text(plot.wide, encoding="utf-8")
                yield
            for path in target.glob("*.svg"):
                if path.name not in names:
                    path.unlink()
        finally:
            if target.is_dir() and not any(target.iterdir()):
                target.rmdir()


NO_PLOTS = Plots()
"""The plots of a report whose folder is not known."""


def collect_plots(report: Report, folder: Path) -> Plots:
    """Read and draw what is in `folder`. A missing or damaged record becomes a note."""
    curves = read_curves(report, folder)
    groups = tuple(
        GroupPlots(
            group,
            tuple(
                curve_plot(group, curve, f"curves-{number}-{curve.name.replace('_', '-')}")
                for curve in group.curves
            ),
        )
        for number, group in enumerate(curves.groups, start=1)
    )
    benches = {
        case: plot_bench(report, case, folder, f"bench-{number}")
        for number, case in enumerate(report.bench, start=1)
    }
    return Plots(curves, groups, benches)
