"""The table of metrics: what each is called, its unit, which way is better, what may be assumed.

`exact` metrics are the same number in every repetition of the same computation, so any difference
is a difference. `noisy` ones depend on the machine's mood and are never judged from one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric", "metric"]


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    name: str
    title: str
    unit: str
    """Base unit; empty for a bare number."""
    better: Literal["higher", "lower", "neither"]
    assumption: Literal["exact", "noisy"]


METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric("steps", "optimizer steps", "", "neither", "exact"),
        Metric("micro_batches", "micro-batches", "", "neither", "exact"),
        Metric("samples", "samples seen", "", "neither", "exact"),
        Metric("epochs", "epochs", "", "neither", "exact"),
        Metric("parameters", "trained parameters", "", "neither", "exact"),
        Metric("accuracy", "accuracy", "", "higher", "exact"),
        Metric("f1", "F1", "", "higher", "exact"),
        Metric("loss", "evaluation loss", "", "lower", "exact"),
        Metric("perplexity", "perplexity", "", "lower", "exact"),
        Metric("first_grad_norm", "raw gradient norm at step 1", "", "neither", "exact"),
        Metric("wall_s", "wall time, not a benchmark", "s", "lower", "noisy"),
        Metric("samples_per_s", "samples per second, not a benchmark", "1/s", "higher", "noisy"),
    )
}


def metric(name: str) -> Metric:
    """The row of that name; one that a workload brought along itself is taken as exact."""
    return METRICS.get(name) or Metric(name, name, "", "neither", "exact")
