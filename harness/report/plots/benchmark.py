"""The sessions of a bench as rows and lines: what was measured, left out, and lost to others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import RecordError
from harness.report.plots.curves import Array
from harness.report.plots.figures import Bar, Plot, Ratio, forest_plot, memory_plot, rounds_plot
from harness.results.benchmark import CONTROL
from harness.results.metrics import metric
from harness.results.report import Report
from harness.results.sessions import Block, Session, read_sessions
from harness.stats import TRIMMED, trimmed_mean
from harness.units import quantity

__all__ = ["SESSIONS", "SESSION_NOTES", "BenchPanel", "bench_panel", "left_out"]

SESSIONS = ("session", "rounds", "took", "lost to others", "control", "rounds left out")
"""Headings of the rows of a panel."""
SESSION_NOTES = {"lost to others": "of wall time", "control": "reference on itself"}
"""Under a heading: what it is."""
_SECONDS: dict[str, Callable[[Block], float]] = {
    "own_step_s": lambda block: block.own_s,
    "step_s": lambda block: block.wall_s,
}


@dataclass(frozen=True)
class BenchPanel:
    """How well the speeds of one case are known."""

    case: str
    rows: tuple[tuple[str, ...], ...] = ()
    """One a session, under `SESSIONS`."""
    caption: str = ""
    note: str = ""
    """Why there are no rows."""
    plots: tuple[Plot, ...] = ()


def bench_panel(report: Report, case: str, folder: Path, stem: str) -> BenchPanel:
    """The panel of one case whose sessions lie below `folder`; its plots are called `stem`-..."""
    result = report.bench[case]
    plots = [*_forest(report, case, f"{stem}-ratios")]
    sessions: Sequence[Session] = ()
    note = ""
    try:
        sessions = read_sessions(folder / case) or read_sessions(folder)
    except RecordError as error:
        note = f"the sessions cannot be read: {error}"
    if not sessions:
        note = note or "the sessions are not at hand, so their rounds cannot be shown"
        return BenchPanel(case, note=note, plots=(*plots, *_memory(report, case, f"{stem}-memory")))
    arms = [arm.name for arm in result.arms]
    plots.append(_rounds(sessions, arms, result.statistic, f"{stem}-rounds"))
    plots += _memory(report, case, f"{stem}-memory")
    caption = (
        "Lost to others: share of the blocks' wall time in which a loop was ready to run and the "
        "machine ran somebody else, which is its load. Control: the reference beside itself. "
        f"Rounds left out: of each pair the {TRIMMED:.0%} lowest and highest ratios of a session, "
        "since a round in which the machine was taken from one arm says nothing about loops. The "
        "first step of each turn is not counted, since it pays for the change of turns."
    )
    rows = tuple(_row(session, arms, result.statistic) for session in sessions)
    return BenchPanel(case, rows, caption, plots=tuple(plots))


def left_out(session: Session, one: str, two: str, statistic: str) -> list[int]:
    """Rounds whose ratio of the two arms a trimmed mean leaves out."""
    ratios = _ratios(session, one, two, statistic)
    count = int(TRIMMED * len(ratios))
    order = sorted(ratios, key=lambda number: ratios[number])
    return sorted(order[:count] + order[len(order) - count :])


def _ratios(session: Session, one: str, two: str, statistic: str) -> dict[int, float]:
    """By round, the log ratio of the second arm's time to the first one's."""
    seconds: dict[str, dict[int, float]] = {one: {}, two: {}}
    for block in session.blocks:
        if block.arm in seconds:
            seconds[block.arm][block.round] = _SECONDS[statistic](block) / block.steps
    return {
        number: math.log(seconds[two][number] / value)
        for number, value in sorted(seconds[one].items())
        if number in seconds[two]
    }


def _row(session: Session, arms: Sequence[str], statistic: str) -> tuple[str, ...]:
    reference = arms[0]
    wall_s = sum(block.wall_s for block in session.blocks)
    delays = [block.delay_s for block in session.blocks]
    told = [delay for delay in delays if delay is not None]
    lost = f"{sum(told) / wall_s:.1%}" if len(told) == len(delays) else "not told"
    control = list(_ratios(session, reference, CONTROL, statistic).values())
    dropped = (
        (arm, left_out(session, reference, arm, statistic)) for arm in arms if arm != reference
    )
    return (
        str(session.number),
        str(len({block.round for block in session.blocks})),
        quantity(session.took_s, "s"),
        lost,
        f"{math.expm1(trimmed_mean(control)):+.2%}" if control else "-",
        "; ".join(f"{arm} {', '.join(map(str, rounds))}" for arm, rounds in dropped if rounds)
        or "none: too few",
    )


def _forest(report: Report, case: str, name: str) -> list[Plot]:
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
        f"{result.arms[0].name} beside itself",
        result.control_ratio,
        result.control_interval,
        "control",
    )
    title = f"{metric(result.statistic).title} over the reference's, {case}"
    return [forest_plot(name, title, [*ratios, control], result.margin)]


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
                    values[place] = _SECONDS[statistic](block) / block.steps
        if not np.isnan(values).all():
            lines.append((arm, values))
    title = f"{metric(statistic).title} over {count} rounds of {len(sessions)} sessions"
    return rounds_plot(name, title, metric(statistic).title, lines, begins)


def _memory(report: Report, case: str, name: str) -> list[Plot]:
    """Of the device where it told, else of the process."""
    arms = report.bench[case].arms
    allocated = [Bar(a.name, a.peak_allocated_bytes) for a in arms if a.peak_allocated_bytes]
    resident = [Bar(a.name, a.peak_resident_bytes) for a in arms if a.peak_resident_bytes]
    kinds = (("allocated on the device", allocated), ("resident of the process", resident))
    for kind, bars in kinds:
        if bars:
            return [memory_plot(name, f"peak memory, {kind}", bars)]
    return []
