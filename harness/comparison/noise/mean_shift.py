"""Tests of the values that a run has once: means of signed differences, and final metrics.

A small fault that is hidden in the noise of each step adds up in a mean. Rounding has no direction,
so a t-test compares the mean with zero. Its spread is the root mean square of the draws' means.
The error rates and allowances of all fields are defined here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.comparison.noise.series import Array, RunSeries, signed_means
from harness.results.divergence import ulp_distance
from harness.results.noise import FieldNoise

__all__ = [
    "ALLOWANCE",
    "FALSE_ALARMS",
    "LEVEL",
    "NARROW",
    "ROUNDING",
    "TESTS",
    "mean_shifts",
    "metric_differences",
    "t_quantile",
]

FALSE_ALARMS = 1e-3
"""Share of clean pairs that may be called different. It is divided evenly among the tests of a
comparison, and the share of the test `tensors` again among the tensors."""
ALLOWANCE = 2.0
"""Factor that widens every bound. Another kernel rounds differently at each operation of each step,
a draw only at the beginning. It was measured on the embedded case (24 and 60 steps, learning rates
5e-5 to 0.05, AdamW and SGD), with another attention kernel, number of threads or optimizer flavour.
Their excess was at most 1.4 times the mean excess of the draws in loss, gradient norm and all
weights, and 2.0 times in the worst of 41 tensors. For bf16 and its own draws the factors were 1.6
and 2.6."""
NARROW = 0.25
"""Largest width of a useful bound. For weights it is relative to their movement, for loss and log
gradient norm to their standard deviation over the steps of the reference."""
ROUNDING = 2.0**-24  # largest relative error of one rounding in single precision
TESTS = (
    "loss",
    "grad_norm",
    "weights",
    "tensors",
    "mean_loss",
    "mean_grad_norm",
    "along_movement",
    "along_initial_weights",
    "evaluation_loss",
)
LEVEL = FALSE_ALARMS / len(TESTS)


def mean_shifts(
    reference: RunSeries,
    draws: Sequence[RunSeries],
    pair: tuple[RunSeries, RunSeries],
    pair_factor: float,
) -> Iterator[FieldNoise]:
    """Compare the mean signed differences of a pair with those of the draws.

    `pair_factor` is the factor for two noisy runs, 1 or sqrt(2).
    """
    steps = len(reference.loss)
    final = reference.metrics[-1].get("loss", 1.0) if reference.metrics else 1.0
    sizes = {"mean_loss": float(np.mean(np.abs(reference.loss))), "evaluation_loss": final}
    spreads = {
        "mean_loss": float(np.std(reference.loss)),
        "mean_grad_norm": float(np.std(reference.grad_norm)),
        "evaluation_loss": float(np.std(reference.loss)),
    }
    # The rounding error of a mean over so many steps, or of one rounded value.
    floors = {
        "mean_loss": 2 * ROUNDING * sizes["mean_loss"] / np.sqrt(steps),
        "mean_grad_norm": 2 * ROUNDING / np.sqrt(steps),
        "evaluation_loss": 2 * ROUNDING * final,
    }
    quantile = float(t_quantile(LEVEL / 2, len(draws)))
    drawn = [signed_means(reference, draw) for draw in draws]
    for name, mean in signed_means(*pair).items():
        noise = [found[name] for found in drawn if name in found]
        scale = max(float(np.sqrt(np.mean(np.square(noise)))), floors.get(name, 0.0))
        bound = ALLOWANCE * quantile * scale * pair_factor
        narrow = bound <= NARROW * spreads.get(name, 1.0)
        size = sizes.get(name, 1.0)
        ends = [run.metrics[-1]["loss"] for run in pair if name == "evaluation_loss"]
        yield FieldNoise(
            field=name,
            outcome="different"
            if abs(mean) > bound
            else "within_noise"
            if narrow
            else "inconclusive",
            step=None,
            largest=mean,
            relative=mean / size if size else None,
            ulp=ulp_distance(*ends) if ends else None,
            difference=mean,
            envelope=scale,
            threshold=bound,
            smallest_visible=bound / size if narrow and size else None,
            judged=steps if narrow else 0,
            of=steps,
        )


def metric_differences(
    reference: RunSeries, draws: Sequence[RunSeries], pair: tuple[RunSeries, RunSeries]
) -> Iterator[FieldNoise]:
    """Compare the metrics that count rows: they may differ by two rows more than the draws do.

    For each metric the largest difference over all evaluations counts. Both runs must have the same
    evaluations.
    """
    for name in dict.fromkeys(name for metrics in reference.metrics for name in metrics):
        if name == "loss":
            continue
        noise = max(_largest(reference, draw, name) for draw in draws)
        bound = noise + 2 / max(1, reference.rows)
        difference = _largest(*pair, name)
        size = abs(reference.metrics[-1].get(name, 0.0))
        yield FieldNoise(
            field=name,
            outcome="within_noise" if difference <= bound else "different",
            step=None,
            largest=difference,
            relative=difference / size if size else None,
            difference=difference,
            envelope=noise,
            threshold=bound,
            smallest_visible=bound / size if size else None,
            judged=1,
            of=1,
        )


def _largest(one: RunSeries, two: RunSeries, name: str) -> float:
    """The largest difference of a metric over all evaluations; NaN if one is NaN."""
    difference = [
        abs(left[name] - right[name])
        for left, right in zip(one.metrics, two.metrics, strict=True)
        if name in left
    ]
    return float(np.max(difference))


def t_quantile(level: float | Array, freedom: int) -> Array:
    """The value that Student's t exceeds with probability `level`."""
    # Imported here, since scipy takes as long to import as the rest of the command line.
    from scipy import special

    quantile: Array = special.stdtrit(freedom, 1 - np.asarray(level))
    return quantile
