"""What several seeds found, in words: runs of a loop gathered in a row, judged metrics in another.

Takes what was decided; decides nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.results.comparison import Comparison, Finding, SeedOutcome
from harness.results.metrics import metric
from harness.units import number, quantity

if TYPE_CHECKING:
    from harness.results.report import RunSummary

__all__ = ["Gathered", "JudgedMetric", "gathered", "judged", "run_name", "seed_lines", "sentence"]


@dataclass(frozen=True)
class Gathered:
    """Every seed of one loop on one case."""

    case: str
    loop: str
    seeds: str
    status: str
    metrics: dict[str, str]
    """Mean and standard deviation over the seeds, the collapsed ones among them."""
    wall_s: float | None
    """Seconds of all of them together."""


def gathered(runs: Iterable[RunSummary]) -> list[Gathered]:
    """One row for the runs of each case and loop that are seeds of it; other runs are left out."""
    rows: dict[tuple[str, str], list[RunSummary]] = {}
    for run in runs:
        if run.seed is not None:
            rows.setdefault((run.case, run.loop), []).append(run)
    return [
        Gathered(
            case=case,
            loop=loop,
            seeds=_span([run.seed for run in found if run.seed is not None]),
            status=_counted(run.status for run in found),
            metrics=_metrics(found),
            wall_s=sum(run.wall_s or 0.0 for run in found),
        )
        for (case, loop), found in rows.items()
    ]


def _metrics(runs: list[RunSummary]) -> dict[str, str]:
    names = dict.fromkeys(name for run in runs for name in run.final_metrics)
    found = {}
    for name in names:
        values = [run.final_metrics[name] for run in runs if name in run.final_metrics]
        spread = None
        if len(values) > 1 and all(map(math.isfinite, values)):
            spread = statistics.stdev(values)
        found[name] = _with_spread(statistics.fmean(values), spread, metric(name).unit)
    return found


@dataclass(frozen=True)
class JudgedMetric:
    """One metric of a comparison over several seeds, ready to be shown."""

    title: str
    reference: str
    candidate: str
    interval: str
    margin: str
    outcome: str
    needed: str


def judged(comparison: Comparison) -> list[JudgedMetric]:
    """A row a metric; none where the comparison is of single runs."""
    if not comparison.test:
        return []
    rows = []
    for found in comparison.findings:
        spread = found.spread or (None, None)
        rows.append(
            JudgedMetric(
                title=metric(found.metric).title,
                reference=_with_spread(found.reference, spread[0], found.unit),
                candidate=_with_spread(found.candidate, spread[1], found.unit),
                interval="-" if found.interval is None else _interval(found.interval),
                margin="-" if found.margin is None else f"±{number(found.margin)}",
                outcome=found.outcome,
                needed="" if found.needed is None else str(found.needed),
            )
        )
    return rows


def seed_lines(comparison: Comparison) -> list[str]:
    """Which seeds are the same bit for bit, and where the others part; like ones in a line."""
    lines: dict[str, list[int]] = {}
    for found in comparison.seeds:
        lines.setdefault(_told(found), []).append(found.seed)
    return [f"with seed {_span(seeds)}: {text}" for text, seeds in lines.items()]


def _told(found: SeedOutcome) -> str:
    text: str = found.outcome
    if found.outcome == "identical":
        text += ", bit for bit"
    if found.first_divergence is not None:
        text += f" in bits from step {found.first_divergence.step}, "
        text += found.first_divergence.stage
    if found.left_out:
        text += f"; left out of the metrics, for {found.left_out}"
    return text


def sentence(comparison: Comparison) -> str:
    """One line for a comparison over several seeds."""
    pair = f"{comparison.candidate} against {comparison.reference}"
    if comparison.outcome == "identical":
        restriction = f", {comparison.restriction}" if comparison.restriction else ""
        return (
            f"{pair}: identical, bit for bit, at all {comparison.steps} steps "
            f"with each of {len(comparison.seeds)} seeds{restriction}"
        )
    if comparison.outcome not in ("equivalent", "different"):
        why = comparison.doubts[0] if comparison.doubts else "no reason recorded"
        return f"{pair}: {comparison.outcome}; {why}"
    shown = [found for found in comparison.findings if found.outcome == comparison.outcome]
    return (
        f"{pair}: {comparison.outcome} in final metrics, {'; '.join(map(_difference, shown))} "
        f"({comparison.test})"
    )


def _difference(found: Finding) -> str:
    title = metric(found.metric).title
    if found.interval is None or found.margin is None:
        return title
    place = "within" if found.outcome == "equivalent" else "beyond"
    return f"{title} {_interval(found.interval)} {place} ±{number(found.margin)}"


def run_name(run: RunSummary) -> str:
    """The loop, and the seed where it is one of several."""
    return run.loop if run.seed is None else f"{run.loop}, seed {run.seed}"


def _interval(interval: tuple[float, float]) -> str:
    return f"[{number(interval[0], 3)}, {number(interval[1], 3)}]"


def _with_spread(mean: float | None, spread: float | None, unit: str) -> str:
    text = quantity(mean, unit)
    return text if spread is None else f"{text} ± {number(spread, 2)}"


def _span(seeds: list[int]) -> str:
    """'42 to 46' where they follow each other, else all of them."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _counted(statuses: Iterable[str]) -> str:
    found = list(statuses)
    return ", ".join(f"{found.count(status)} {status}" for status in dict.fromkeys(found))
