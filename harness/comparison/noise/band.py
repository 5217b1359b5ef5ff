"""The noise of a reference, and what stands out of it.

The reference is run again several times, perturbed by rounding (see `perturbation.py`). For each
field (loss, gradient norm, weights, each tensor's weights) the root mean square of the draws'
differences from the reference at a step is the *scale* of the noise there, and grows as the noise
does. A pair's *excess* in a field is its largest difference, over all steps, in units of the scale.
Each draw's own excess against the others says what to expect of a pair that differs by rounding
alone: its logarithm's mean and spread give the prediction bound for one more draw, which holds for
the whole course of the run at once and needs no correction for the number of steps. Differences of
the draws among themselves are not used: where noise adds up they are sqrt(2) times those from the
reference, and so say nothing that these do not.

Then the signed differences: their mean over the run, of the loss, of the log gradient norm and of
the weights along the reference's own movement and along its initial weights, must not be told from
zero by a t-test against the draws. A small fault that hides in the noise of each step adds up
there.

Each tensor is judged for itself besides all weights together. Measured on the embedded BERT over 60
steps, the noise of all weights (5.9e-5 of their movement) is that of the keys' biases in its two
layers (5.3e-5 and 2.5e-5): their true gradient is zero, and AdamW follows its roundings.

What may be expected of noise is no tolerance: the rate of false alarms is set beforehand, and
what the bound could not have told from noise is reported as `smallest_visible`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from harness.comparison.noise.mean_shift import (
    ALLOWANCE,
    FALSE_ALARMS,
    LEVEL,
    ROUNDING,
    TELLING,
    TESTS,
    mean_shifts,
    metric_differences,
    t_quantile,
)
from harness.comparison.noise.series import Array, RunSeries, norms, series
from harness.errors import RecordError
from harness.results.divergence import ulp_distance
from harness.results.noise import FieldNoise, Noise
from harness.results.record import RunRecord
from harness.spec.case import LEAST_DRAWS

__all__ = ["NoiseBand"]

_ENOUGH = 0.5  # share of the steps in which a field must be told for a pair to be within noise


class NoiseBand:
    """The noise of one reference, from its record and those of its perturbed draws."""

    def __init__(self, reference: RunRecord, draws: Sequence[RunRecord], rounding: str) -> None:
        """Raises `RecordError` where they do not hold what noise is told from."""
        self.rounding = rounding
        if len(draws) < LEAST_DRAWS:
            raise RecordError(
                f"an envelope needs {LEAST_DRAWS} draws or more", len(draws), "run more of them"
            )
        for record in (reference, *draws):
            if record.header.status != "completed" or not len(record.steps):
                what = f"{record.folder}, {record.header.status}"
                raise RecordError("an envelope needs completed runs", what, "run it again")
        self._reference = RunSeries.of(reference)
        self._draws = [RunSeries.of(draw) for draw in draws]
        for draw in self._draws:
            self._check(draw)
        self._floor = self._roundings()
        self._noise = np.stack([series(self._reference, draw) for draw in self._draws])
        self._scale = self._scale_of(self._noise)
        self._bounds = self._scale * self._factors()

    def judge(self, one: RunRecord, two: RunRecord) -> Noise:
        """Judge `two` against `one`, both variants of the reference or one of them itself.

        Raises `RecordError` where they do not hold what noise is told from. Where neither is the
        reference, both bear noise of their own, and every bound is sqrt(2) times as wide.
        """
        left, right = RunSeries.of(one), RunSeries.of(two)
        self._check(left)
        self._check(right)
        both = 1.0 if self._is_reference(left) or self._is_reference(right) else np.sqrt(2)
        fields = [
            *self._judge_series(left, right, both),
            *mean_shifts(self._reference, self._draws, (left, right), both),
            *metric_differences(self._reference, self._draws, (left, right)),
        ]
        # A tensor that only noise moves, as the bias of attention's keys, is never told.
        needed = [field for field in fields if field.field in TESTS and field.field != "tensors"]
        doubts = [
            f"the envelope of {field.field} is too wide to tell: narrow enough in {field.judged} "
            f"of {field.of} steps; shorten the run, or lower the learning rate"
            for field in needed
            if field.judged < _ENOUGH * field.of
        ]
        return Noise(
            draws=len(self._draws),
            rounding=self.rounding,
            false_alarms=FALSE_ALARMS,
            allowance=ALLOWANCE,
            fields=tuple(fields),
            doubts=tuple(doubts),
        )

    def _is_reference(self, course: RunSeries) -> bool:
        return np.array_equal(course.weights, self._reference.weights)

    def _check(self, course: RunSeries) -> None:
        """Raises `RecordError` where a run cannot be lined up with the reference."""
        remedy = "compare runs of one case, and those that went well"
        if course.weights.shape != self._reference.weights.shape:
            shapes = f"{course.weights.shape} and {self._reference.weights.shape}"
            raise RecordError("noise is told from runs of like length and model", shapes, remedy)
        if course.tensors != self._reference.tensors:
            raise RecordError("noise is told from runs of one model", "other tensors", remedy)
        if course.evaluated != self._reference.evaluated:
            raise RecordError("noise is told from runs evaluated alike", "other ways", remedy)
        for values in (course.loss, course.grad_norm, course.weights):
            if not np.all(np.isfinite(values)):
                raise RecordError("noise is told from finite values", "NaN or infinity", remedy)

    def _roundings(self) -> Array:
        """What one rounding of each value comes to; nothing is judged finer than that."""
        reference = self._reference
        steps = len(reference.loss)
        floor = np.zeros((steps + 1, 3 + len(reference.tensors)))
        floor[1:, 0] = np.spacing(np.abs(reference.loss).astype(np.float32))
        floor[1:, 1] = 2 * ROUNDING
        floor[:, 2:] = ROUNDING * norms(reference.weights)
        return np.maximum(floor, np.finfo(np.float64).tiny)

    def _scale_of(self, noise: Array) -> Array:
        """[draws, steps + 1, fields] -> [steps + 1, fields]: root mean square over the draws.

        Of each step for itself. Taken over five neighbouring steps, the bounds of loss and gradient
        norm came out up to twelve times as wide: what a batch makes of noise is its own.
        """
        scale: Array = np.maximum(np.sqrt(np.mean(np.square(noise), axis=0)), self._floor)
        return scale

    def _factors(self) -> Array:
        """For each field the largest excess that noise is allowed, in units of the scale.

        The one-sided prediction bound for one more value of a normal sample (Hahn and Meeker,
        "Statistical Intervals", 1991, 4.8), taken of the logarithms of the draws' excesses.
        """
        count = len(self._draws)
        excesses = [
            np.max(self._noise[i] / self._scale_of(np.delete(self._noise, i, axis=0)), axis=0)
            for i in range(count)
        ]
        # An excess of 0 (a frozen tensor) has no logarithm: half a unit of noise stands for it.
        logs = np.log(np.maximum(excesses, 0.5))
        tensors = logs.shape[1] - 3
        levels = np.array([LEVEL] * 3 + [LEVEL / max(1, tensors)] * tensors)
        quantiles = t_quantile(levels, count - 1)
        spread = np.std(logs, axis=0, ddof=1) * np.sqrt(1 + 1 / count)
        # Beyond the largest exponent a bound bounds nothing, and must not become infinite.
        exponent = np.minimum(np.mean(logs, axis=0) + quantiles * spread, 300.0)
        factors: Array = ALLOWANCE * np.exp(exponent)
        return factors

    def _extents(self) -> Array:
        """What the bounds are to be small against, [steps + 1, 3 + tensors]; see `TELLING`."""
        reference = self._reference
        extents = np.zeros_like(self._scale)
        extents[1:, 0] = np.std(reference.loss)
        extents[1:, 1] = np.std(reference.grad_norm)
        extents[:, 2:] = norms(reference.movement)
        return extents

    def _judge_series(self, one: RunSeries, two: RunSeries, both: float) -> Iterator[FieldNoise]:
        apart, bounds = series(one, two), self._bounds * both
        with np.errstate(over="ignore"):
            excess = apart / bounds
        telling = bounds <= TELLING * self._extents()
        sizes = np.ones_like(bounds)
        sizes[1:, 0] = np.abs(self._reference.loss)
        sizes[:, 2:] = norms(self._reference.movement)
        for column, name in enumerate(("loss", "grad_norm", "weights")):
            yield self._field(name, column, apart, bounds, excess, telling, sizes, (one, two))
        tensors = slice(3, None)
        worst = 3 + int(np.argmax(excess[:, tensors].max(axis=0)))
        field = self._field("tensors", worst, apart, bounds, excess, telling, sizes, (one, two))
        yield field.model_copy(
            update={
                "tensor": self._reference.tensors[worst - 3],
                "judged": int(np.count_nonzero(telling[:, tensors].any(axis=0))),
                "of": len(self._reference.tensors),
            }
        )

    def _field(
        self,
        name: str,
        column: int,
        apart: Array,
        bounds: Array,
        excess: Array,
        telling: npt.NDArray[np.bool_],
        sizes: Array,
        pair: tuple[RunSeries, RunSeries],
    ) -> FieldNoise:
        step = int(np.argmax(excess[:, column]))
        top = int(np.argmax(apart[:, column]))
        told = np.flatnonzero(telling[1:, column]) + 1
        passed = bool(excess[step, column] > 1)
        size = sizes[top, column]
        return FieldNoise(
            field=name,
            outcome="different" if passed else "within_noise" if len(told) else "inconclusive",
            step=step,
            largest=float(apart[top, column]),
            step_of_largest=top,
            relative=float(apart[top, column] / size) if size else None,
            ulp=_ulp(name, top, pair),
            difference=float(apart[step, column]),
            envelope=float(self._scale[step, column]),
            threshold=float(bounds[step, column]),
            smallest_visible=float(np.min(bounds[told, column] / sizes[told, column]))
            if len(told)
            else None,
            judged=len(told),
            of=len(apart) - 1,
        )


def _ulp(field: str, step: int, pair: tuple[RunSeries, RunSeries]) -> float | None:
    """Of a scalar at a step; a mean of several losses is rounded like one of them."""
    if step < 1 or field not in ("loss", "grad_norm"):
        return None
    one, two = (float(getattr(course, field)[step - 1]) for course in pair)
    if field == "grad_norm":
        one, two = float(np.exp(one)), float(np.exp(two))
    return ulp_distance(one, two)
