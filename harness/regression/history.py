"""The accepted baselines of a case over time, as rows and as a plot.

The order is the order of acceptance, not of dates, since a clock may be set back. The
optional extra `ruptures` finds the change points.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.errors import SpecError
from harness.regression.baseline import Baseline, find_baselines, previous_baselines
from harness.regression.facts import LoopFacts
from harness.results.benchmark import CONTROL
from harness.results.record import write_atomically

__all__ = [
    "NO_RUPTURES",
    "Entry",
    "change_points",
    "entries",
    "exact_changes",
    "has_ruptures",
    "plot",
]

NO_RUPTURES = "no search for change points: pip install 'trainloop-harness[history]'"
_LEAST = 4
"""Fewest accepted baselines with speeds in which a change point is distinguishable from noise."""


@dataclass(frozen=True)
class Entry:
    """One accepted baseline."""

    machine_class: str
    number: int
    """From 1 within its machine class; the last one is the current baseline."""
    baseline: Baseline


def entries(where: Path, case: str) -> list[Entry]:
    """All accepted baselines of a case by machine class, oldest first.

    Raises `SpecError` if there is none, `RecordError` if a file is damaged.
    """
    found = []
    for now in find_baselines(where, case):
        whole = [*previous_baselines(now.path), now]
        name = now.path.stem.partition("@")[2] or now.path.stem
        found += [Entry(name, i, one.baseline) for i, one in enumerate(whole, start=1)]
    if not found:
        rule = "a history consists of accepted runs"
        raise SpecError(rule, f"no baseline of {case} in {where}", "accept a run")
    return found


def exact_changes(before: Baseline | None, now: Baseline) -> str:
    """The loops whose exact facts differ from those of the previous baseline."""
    if before is None:
        return ""
    changed = [
        loop
        for loop, facts in now.loops.items()
        if loop in before.loops and _without_memory(before.loops[loop]) != _without_memory(facts)
    ]
    return ", ".join(changed) or "none"


def change_points(series: Sequence[Entry], arm: str) -> list[int]:
    """Numbers of the entries at which the ratio of an arm changes.

    Method: PELT with the cost of a shift in the mean (Killick, Fearnhead and Eckley, J. Am. Stat.
    Assoc. 107 (2012)). The penalty is 3 log(n) times the variance of one ratio over its sessions.
    Raises ImportError if `ruptures` is not installed.
    """
    import numpy as np
    import ruptures

    rows = [(e.number, *_mean_and_error(e.baseline, arm)) for e in series if _has(e.baseline, arm)]
    if len(rows) < _LEAST:
        return []
    variance = statistics.median(error**2 for _, _, error in rows)
    signal = np.array([[mean] for _, mean, _ in rows])
    penalty = 3 * math.log(len(rows)) * max(variance, 1e-12)
    breaks = ruptures.Pelt(model="l2", min_size=1, jump=1).fit(signal).predict(pen=penalty)
    return [rows[index][0] for index in breaks[:-1]]


def has_ruptures() -> bool:
    """Whether the optional extra `history` is installed."""
    return find_spec("ruptures") is not None


def plot(series: Sequence[Entry], path: Path) -> None:
    """Draw the ratios of one machine class with intervals and change points as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    arms = dict.fromkeys(arm for entry in series for arm in entry.baseline.ratios if arm != CONTROL)
    for number, arm in enumerate(arms):
        rows = [(e.number, e.baseline.ratios[arm]) for e in series if arm in e.baseline.ratios]
        numbers = [count for count, _ in rows]
        ratios = [ratio for _, (ratio, _, _) in rows]
        below = [ratio - low for _, (ratio, low, _) in rows]
        above = [high - ratio for _, (ratio, _, high) in rows]
        colour = f"C{number}"
        axes.errorbar(numbers, ratios, yerr=(below, above), fmt="o-", capsize=3, label=arm)
        for number_of_change in change_points(series, arm) if has_ruptures() else ():
            axes.axvline(number_of_change - 0.5, color=colour, linestyle="--", linewidth=1)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_xticks([entry.number for entry in series])
    axes.set_xlabel("accepted baseline")
    axes.set_ylabel("time per step relative to the reference\n(95% interval; above 1 is slower)")
    axes.set_title(f"{series[0].baseline.case} on {series[0].machine_class}")
    if arms:
        axes.legend()
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _has(baseline: Baseline, arm: str) -> bool:
    return baseline.speeds is not None and arm in baseline.speeds.candidates


def _mean_and_error(baseline: Baseline, arm: str) -> tuple[float, float]:
    assert baseline.speeds is not None
    sample = baseline.speeds.ratios(arm, baseline.speeds.rounds)
    return sample.mean, sample.error


def _without_memory(facts: LoopFacts) -> LoopFacts:
    return facts.model_copy(update={"peak_allocated_bytes": None})
