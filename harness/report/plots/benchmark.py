"""The plots of a benchmark: ratios, rounds and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import RecordError
from harness.report.plots.benchmark_figures import Bar, Ratio, forest_plot, memory_plot, rounds_plot
from harness.report.plots.plot import Plot
from harness.report.plots.time_series import Array
from harness.results.metrics import metric
from harness.results.report import Report
from harness.results.sessions import Block, Session, read_sessions

__all__ = ["BenchPlots", "plot_bench", "seconds_per_step"]

_SECONDS: dict[str, Callable[[Block], float]] = {
    "own_step_s": lambda block: block.own_s,
    "step_s": lambda block: block.wall_s,
}


@dataclass(frozen=True)
class BenchPlots:
    """The sessions of one case and their plots."""

    case: str
    ratios: Plot
    rounds: Plot | None = None
    """None without sessions."""
    memory: Plot | None = None
    """None if no arm recorded its peak."""
    sessions: tuple[Session, ...] = ()
    note: str = ""
    """Why there are no sessions."""

    def plots(self) -> list[Plot]:
        """The plots that exist, in the order of a page."""
        return [plot for plot in (self.ratios, self.rounds, self.memory) if plot is not None]


def plot_bench(report: Report, case: str, folder: Path, stem: str) -> BenchPlots:
    """The plots of one case whose sessions are below `folder`; their names begin with `stem`."""
    result = report.bench[case]
    ratios = _forest(report, case, f"{stem}-ratios")
    memory = _memory(report, case, f"{stem}-memory")
    sessions: Sequence[Session] = ()
    note = ""
    try:
        sessions = read_sessions(folder / case) or read_sessions(folder)
    except RecordError as error:
        note = f"the sessions cannot be read: {error}"
    if not sessions:
        note = note or "the sessions are missing, so their rounds cannot be shown"
        return BenchPlots(case, ratios, memory=memory, note=note)
    arms = [arm.name for arm in result.arms]
    rounds = _rounds(sessions, arms, result.statistic, f"{stem}-rounds")
    return BenchPlots(case, ratios, rounds, memory, tuple(sessions))


def seconds_per_step(block: Block, statistic: str) -> float:
    """Seconds per step in `block` by the metric `statistic`."""
    return _SECONDS[statistic](block) / block.steps


def _forest(report: Report, case: str, name: str) -> Plot:
    result = report.bench[case]
    ratios = [
        Ratio(
            f"{one.candidate} against {one.reference}", found.ratio, found.interval, found.outcome
        )
        for one in report.comparisons
        if one.case == case
        for found in one.findings
        if found.metric == result.statistic and found.ratio and found.interval
    ]
    control = Ratio(
        f"{result.arms[0].name} compared with itself",
        result.control_ratio,
        result.control_interval,
        "control",
    )
    title = f"{metric(result.statistic).title} / reference, {case}"
    return forest_plot(name, title, [*ratios, control], result.margin)


def _rounds(sessions: Sequence[Session], arms: Sequence[str], statistic: str, name: str) -> Plot:
    begins, count = [], 0
    places: dict[tuple[int, int], int] = {}
    for session in sessions:
        begins.append(count + 1)
        for number in sorted({block.round for block in session.blocks}):
            places[session.number, number] = count
            count += 1
    lines: list[tuple[str, Array]] = []
    for arm in arms:
        values = np.full(count, np.nan)
        for session in sessions:
            for block in session.blocks:
                if block.arm == arm:
                    place = places[session.number, block.round]
                    values[place] = seconds_per_step(block, statistic)
        if not np.isnan(values).all():
            lines.append((arm, values))
    title = f"{metric(statistic).title} over {count} rounds of {len(sessions)} sessions"
    return rounds_plot(name, title, metric(statistic).title, lines, begins)


def _memory(report: Report, case: str, name: str) -> Plot | None:
    """Peak memory of the device if it was recorded, else of the process."""
    arms = report.bench[case].arms
    allocated = [Bar(a.name, a.peak_allocated_bytes) for a in arms if a.peak_allocated_bytes]
    resident = [Bar(a.name, a.peak_resident_bytes) for a in arms if a.peak_resident_bytes]
    kinds = (("allocated on the device", allocated), ("resident of the process", resident))
    for kind, bars in kinds:
        if bars:
            return memory_plot(name, f"peak memory, {kind}", bars)
    return None
