"""What a run has one of against the noise: means of signed differences, and metrics.

A small fault that hides in the noise of each step adds up in a mean. Rounding has no direction, so
the mean is tested against zero by Student's t, with the root mean square of the draws' own means
for its spread. Here stand also the rates and allowances that hold for all fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.comparison.noise.series import Array, RunSeries, signed
from harness.results.divergence import ulp_distance
from harness.results.noise import FieldNoise

__all__ = [
    "ALLOWANCE",
    "FALSE_ALARMS",
    "LEVEL",
    "ROUNDING",
    "TELLING",
    "TESTS",
    "mean_shifts",
    "metric_differences",
    "t_quantile",
]

FALSE_ALARMS = 1e-3
"""Of clean pairs, the share that may be called different: shared out evenly among the fields and
tests of a comparison, and the tensors' part again among the tensors."""
ALLOWANCE = 2.0
"""By which every bound is widened. Another kernel rounds otherwise at each operation of each step,
a draw only at the beginning. Measured on the embedded case (24 and 60 steps, learning rates 5e-5 to
0.05, AdamW and SGD), the excess of another attention kernel, number of threads or optimizer flavour
was at most 1.4 times the mean excess of the draws in loss, gradient norm and all weights, and 2.0
times in the worst of 41 tensors; of bf16 against its own draws, 1.6 and 2.6 times."""
TELLING = 0.25
"""A bound that is wider than this share of what it bounds says nothing: of the movement of the
weights; of the spread that the reference's loss and log gradient norm have over its steps."""
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
    reference: RunSeries, draws: Sequence[RunSeries], pair: tuple[RunSeries, RunSeries], both: float
) -> Iterator[FieldNoise]:
    """The drift of a pair; `both` widens each bound."""
    steps = len(reference.loss)
    final = reference.metrics[-1].get("loss", 1.0) if reference.metrics else 1.0
    sizes = {"mean_loss": float(np.mean(np.abs(reference.loss))), "evaluation_loss": final}
    spreads = {
        "mean_loss": float(np.std(reference.loss)),
        "mean_grad_norm": float(np.std(reference.grad_norm)),
        "evaluation_loss": float(np.std(reference.loss)),
    }
    # No mean of so many roundings is told finer than this; nor is one that is rounded itself.
    floors = {
        "mean_loss": 2 * ROUNDING * sizes["mean_loss"] / np.sqrt(steps),
        "mean_grad_norm": 2 * ROUNDING / np.sqrt(steps),
        "evaluation_loss": 2 * ROUNDING * final,
    }
    quantile = float(t_quantile(LEVEL / 2, len(draws)))
    drawn = [signed(reference, draw) for draw in draws]
    for name, mean in signed(*pair).items():
        noise = [found[name] for found in drawn if name in found]
        scale = max(float(np.sqrt(np.mean(np.square(noise)))), floors.get(name, 0.0))
        bound = ALLOWANCE * quantile * scale * both
        told = bound <= TELLING * spreads.get(name, 1.0)
        size = sizes.get(name, 1.0)
        ends = [course.metrics[-1]["loss"] for course in pair if name == "evaluation_loss"]
        yield FieldNoise(
            field=name,
            outcome="different"
            if abs(mean) > bound
            else "within_noise"
            if told
            else "inconclusive",
            step=None,
            largest=mean,
            relative=mean / size if size else None,
            ulp=ulp_distance(*ends) if ends else None,
            difference=mean,
            envelope=scale,
            threshold=bound,
            smallest_visible=bound / size if told and size else None,
            judged=steps if told else 0,
            of=steps,
        )


def metric_differences(
    reference: RunSeries, draws: Sequence[RunSeries], pair: tuple[RunSeries, RunSeries]
) -> Iterator[FieldNoise]:
    """Metrics that count rows move in jumps: by no more than two rows beyond the draws.

    Of each the largest difference over all evaluations, which both sides must have made alike.
    """
    for name in dict.fromkeys(name for metrics in reference.metrics for name in metrics):
        if name == "loss":
            continue
        noise = max(_largest(reference, draw, name) for draw in draws)
        bound = noise + 2 / max(1, reference.rows)
        apart = _largest(*pair, name)
        size = abs(reference.metrics[-1].get(name, 0.0))
        yield FieldNoise(
            field=name,
            outcome="within_noise" if apart <= bound else "different",
            step=None,
            largest=apart,
            relative=apart / size if size else None,
            difference=apart,
            envelope=noise,
            threshold=bound,
            smallest_visible=bound / size if size else None,
            judged=1,
            of=1,
        )


def _largest(one: RunSeries, two: RunSeries, name: str) -> float:
    """The largest difference of a metric, NaN where one was."""
    apart = [
        abs(left[name] - right[name])
        for left, right in zip(one.metrics, two.metrics, strict=True)
        if name in left
    ]
    return float(np.max(apart))


def t_quantile(level: float | Array, freedom: int) -> Array:
    """What Student's t passes with probability `level`."""
    # Imported here, since it takes as long as the rest of the command line.
    from scipy import special

    quantile: Array = special.stdtrit(freedom, 1 - np.asarray(level))
    return quantile
