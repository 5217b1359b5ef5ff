"""The columns of final metrics, with the direction that is better."""

from __future__ import annotations

from collections.abc import Iterable

from harness.report.document import Column
from harness.results.metrics import Metric
from harness.results.report import RunSummary

__all__ = ["DIRECTIONS", "final_metrics", "metric_columns"]

DIRECTIONS = {"higher": "↑ higher is better", "lower": "↓ lower is better", "neither": ""}


def final_metrics(runs: Iterable[RunSummary]) -> list[str]:
    """The names of all final metrics, each once, in their order."""
    return list(dict.fromkeys(name for run in runs for name in run.final_metrics))


def metric_columns(metrics: Iterable[Metric]) -> list[Column]:
    """A column for each metric."""
    return [Column(row.title, note=DIRECTIONS[row.better]) for row in metrics]
