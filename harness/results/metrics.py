"""The table of metrics: name, title, unit, better direction, and whether it is exact or noisy.

An `exact` metric is the same number in every repetition of a computation, so any difference counts.
A `noisy` metric depends on the load of the machine and has no outcome from a single run.

The margins apply to means over several seeds. A margin of 0.02 for accuracy or F1 is about one
standard error of an accuracy of 0.85 on the 408 validation rows of MRPC (0.0177). Another sample of
rows changes the accuracy by as much. A margin of 0.05 nats for a loss is 5% of the perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.errors import SpecError, check_known

__all__ = ["METRICS", "Margin", "Metric", "metric", "parse_margins"]


@dataclass(frozen=True)
class Margin:
    """The largest difference of two means that is irrelevant."""

    value: float
    is_share: bool = False
    """Whether `value` is a share of the mean of the reference."""

    @classmethod
    def parse(cls, text: str) -> Margin:
        """Read '0.02', or '5%' for a share of the mean of the reference. Raises `SpecError`."""
        number = text.strip().removesuffix("%")
        is_share = number != text.strip()
        try:
            value = float(number) / (100 if is_share else 1)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise SpecError("a margin is a positive number", repr(text), "write 0.02 or 5%")
        return cls(value, is_share)

    def around(self, mean: float) -> float:
        """The margin in the unit of the metric, for the mean `mean` of the reference."""
        return self.value * abs(mean) if self.is_share else self.value


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    name: str
    title: str
    unit: str
    """Base unit; empty for a number without a unit."""
    better: Literal["higher", "lower", "neither"]
    assumption: Literal["exact", "noisy"]
    margin: Margin | None = None
    """The margin for means over several seeds; None if the metric has no such outcome."""


METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric("steps", "optimizer steps", "", "neither", "exact"),
        Metric("micro_batches", "micro-batches", "", "neither", "exact"),
        Metric("samples", "samples seen", "", "neither", "exact"),
        Metric("epochs", "epochs", "", "neither", "exact"),
        Metric("parameters", "trained parameters", "", "neither", "exact"),
        Metric("accuracy", "accuracy", "", "higher", "exact", Margin(0.02)),
        Metric("f1", "F1", "", "higher", "exact", Margin(0.02)),
        Metric("f1_micro", "micro F1", "", "higher", "exact", Margin(0.02)),
        Metric("f1_macro", "macro F1", "", "higher", "exact", Margin(0.02)),
        Metric("exact_match", "exact match", "", "higher", "exact", Margin(0.02)),
        Metric("mse", "mean squared error", "", "lower", "exact", Margin(0.05, True)),
        Metric("mae", "mean absolute error", "", "lower", "exact", Margin(0.05, True)),
        Metric("r2", "R2", "", "higher", "exact", Margin(0.02)),
        Metric("loss", "evaluation loss", "", "lower", "exact", Margin(0.05)),
        Metric("perplexity", "perplexity", "", "lower", "exact", Margin(0.05, True)),
        Metric("first_grad_norm", "raw gradient norm at step 1", "", "neither", "exact"),
        Metric("wall_s", "wall time, not a benchmark", "s", "lower", "noisy"),
        Metric("own_step_s", "own time of a step", "s", "lower", "noisy"),
        Metric("step_s", "wall time of a step", "s", "lower", "noisy"),
        Metric("cpu_step_s", "CPU time of a step", "s", "lower", "noisy"),
        Metric("own_sample_s", "own time of a sample", "s", "lower", "noisy"),
        Metric("sample_s", "wall time of a sample", "s", "lower", "noisy"),
        Metric("cpu_sample_s", "CPU time of a sample", "s", "lower", "noisy"),
        Metric("samples_per_s", "samples per second, not a benchmark", "1/s", "higher", "noisy"),
    )
}


def metric(name: str) -> Metric:
    """The row of a metric; an unknown metric, from a workload, is exact and has no margin."""
    return METRICS.get(name) or Metric(name, name, "", "neither", "exact")


def parse_margins(values: Mapping[str, float | str]) -> dict[str, Margin]:
    """Margins by metric, from values such as 0.02 and "5%". Raises `SpecError`."""
    known = [name for name, row in METRICS.items() if row.margin is not None]
    for name in values:
        check_known("metric with a margin", name, known)
    return {name: Margin.parse(str(value)) for name, value in values.items()}
