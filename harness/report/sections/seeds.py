"""Several seeds: the runs of a loop in one row, and each metric with its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from harness.report.document import Column, Table
from harness.report.sections.metric_columns import metric_columns
from harness.report.sections.pairs import pair_name
from harness.report.text.seeds import interval_text, seed_range
from harness.results.comparison import Comparison
from harness.results.metrics import Metric, metric
from harness.results.report import RunSummary
from harness.units import number, quantity

__all__ = ["equivalence_table", "seeds_table"]


def seeds_table(runs: Iterable[RunSummary], metrics: Sequence[Metric]) -> Table | None:
    """A row for the seeds of each case and loop; None if no run is one of several seeds."""
    groups: dict[tuple[str, str], list[RunSummary]] = {}
    for run in runs:
        if run.seed is not None:
            groups.setdefault((run.case, run.loop), []).append(run)
    if not groups:
        return None
    columns = (
        Column("case", "text"),
        Column("loop", "text"),
        Column("seeds", "text"),
        Column("status", "text"),
        *metric_columns(metrics),
    )
    rows = tuple(
        (
            case,
            loop,
            seed_range([run.seed for run in found if run.seed is not None]),
            _counts(run.status for run in found),
            *(_mean(row, found) for row in metrics),
        )
        for (case, loop), found in groups.items()
    )
    caption = "Mean ± standard deviation over the seeds; each run has its own record."
    return Table("Runs over the seeds", columns, rows, caption, heading_column=1)


def _mean(row: Metric, runs: Sequence[RunSummary]) -> str:
    """Mean and standard deviation over the seeds, those that collapsed included."""
    values = [run.final_metrics[row.name] for run in runs if row.name in run.final_metrics]
    if not values:
        return "-"
    spread = None
    if len(values) > 1 and all(map(math.isfinite, values)):
        spread = statistics.stdev(values)
    return _with_spread(statistics.fmean(values), spread, row.unit)


def equivalence_table(pair: Comparison) -> Table:
    """A row for each metric of a comparison over several seeds."""
    columns = (
        Column("metric", "text"),
        Column(pair.reference),
        Column(pair.candidate),
        Column("interval", note="of the difference"),
        Column("margin", note="largest negligible difference"),
        Column("outcome", "outcome"),
        Column("seeds needed", note="for a verdict"),
    )
    rows = []
    for found in pair.findings:
        spread = found.spread or (None, None)
        rows.append(
            (
                metric(found.metric).title,
                _with_spread(found.reference, spread[0], found.unit),
                _with_spread(found.candidate, spread[1], found.unit),
                "-" if found.interval is None else interval_text(found.interval),
                "-" if found.margin is None else f"±{number(found.margin)}",
                found.outcome,
                "" if found.needed is None else str(found.needed),
            )
        )
    caption = (
        f"{pair_name(pair)}; test: {pair.test}; mean ± standard deviation, and the 90% interval of "
        "candidate - reference."
    )
    return Table(f"Final metrics over the seeds, {pair_name(pair)}", columns, tuple(rows), caption)


def _with_spread(mean: float | None, spread: float | None, unit: str) -> str:
    text = quantity(mean, unit)
    return text if spread is None else f"{text} ± {number(spread, 2)}"


def _counts(statuses: Iterable[str]) -> str:
    found = list(statuses)
    return ", ".join(f"{found.count(status)} {status}" for status in dict.fromkeys(found))
