"""A case over time: what was accepted, one after the other, as rows and as a plot.

The order is that in which the files were written, never that of their dates: a clock may go back.
Change points are found by the library `ruptures`, an optional extra.
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

NO_RUPTURES = "change points not looked for: pip install 'trainloop-harness[history]'"
_LEAST = 4
"""Accepted baselines with speeds; of fewer no point can be told from scatter."""


@dataclass(frozen=True)
class Entry:
    """One accepted baseline."""

    machine_class: str
    number: int
    """From 1 within its class; the last is the one that is held against now."""
    baseline: Baseline


def entries(where: Path, case: str) -> list[Entry]:
    """All that was ever accepted for a case, class by class, the oldest first.

    Raises `SpecError` where there is none, `RecordError` where a file is damaged.
    """
    found = []
    for now in find_baselines(where, case):
        whole = [*previous_baselines(now.path), now]
        name = now.path.stem.partition("@")[2] or now.path.stem
        found += [Entry(name, i, one.baseline) for i, one in enumerate(whole, start=1)]
    if not found:
        raise SpecError("a history is of accepted runs", f"none of {case} in {where}", "accept one")
    return found


def exact_changes(before: Baseline | None, now: Baseline) -> str:
    """Which loops compute something else than in the one before."""
    if before is None:
        return ""
    changed = [
        loop
        for loop, facts in now.loops.items()
        if loop in before.loops and _without_memory(before.loops[loop]) != _without_memory(facts)
    ]
    return ", ".join(changed) or "none"


def change_points(series: Sequence[Entry], arm: str) -> list[int]:
    """Numbers of the entries from which on an arm's ratio is another one.

    By PELT with the cost of a shift in the mean (Killick, Fearnhead and Eckley, J. Am. Stat. Assoc.
    107 (2012)), and a penalty of 3 log(n) variances of a single ratio as its own sessions show it.
    Raises ImportError where `ruptures` is not installed.
    """
    import numpy as np
    import ruptures

    told = [(e.number, *_mean_and_error(e.baseline, arm)) for e in series if _has(e.baseline, arm)]
    if len(told) < _LEAST:
        return []
    variance = statistics.median(error**2 for _, _, error in told)
    signal = np.array([[mean] for _, mean, _ in told])
    penalty = 3 * math.log(len(told)) * max(variance, 1e-12)
    breaks = ruptures.Pelt(model="l2", min_size=1, jump=1).fit(signal).predict(pen=penalty)
    return [told[index][0] for index in breaks[:-1]]


def has_ruptures() -> bool:
    """Whether the optional extra is installed."""
    return find_spec("ruptures") is not None


def plot(series: Sequence[Entry], path: Path) -> None:
    """The ratios of one machine class with their intervals as SVG, change points as lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    arms = dict.fromkeys(arm for entry in series for arm in entry.baseline.ratios if arm != CONTROL)
    for number, arm in enumerate(arms):
        told = [(e.number, e.baseline.ratios[arm]) for e in series if arm in e.baseline.ratios]
        numbers = [count for count, _ in told]
        ratios = [ratio for _, (ratio, _, _) in told]
        below = [ratio - low for _, (ratio, low, _) in told]
        above = [high - ratio for _, (ratio, _, high) in told]
        colour = f"C{number}"
        axes.errorbar(numbers, ratios, yerr=(below, above), fmt="o-", capsize=3, label=arm)
        for where in change_points(series, arm) if has_ruptures() else ():
            axes.axvline(where - 0.5, color=colour, linestyle="--", linewidth=1)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_xticks([entry.number for entry in series])
    axes.set_xlabel("accepted baseline")
    axes.set_ylabel("time a step against the reference\n(95% interval; above 1 is slower)")
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
