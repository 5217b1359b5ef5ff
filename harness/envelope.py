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

from harness.course import Array, Course, norms, series, signed
from harness.divergence import ulp_distance
from harness.errors import RecordError
from harness.noise import FieldNoise, Noise
from harness.record import RunRecord

__all__ = ["ALLOWANCE", "FALSE_ALARMS", "LEAST_DRAWS", "TELLING", "Envelope"]

FALSE_ALARMS = 1e-3
"""Of clean pairs, the share that may be called different: shared out evenly among the fields and
tests of a comparison, and the tensors' part again among the tensors."""
ALLOWANCE = 2.0
"""By which every bound is widened. Another kernel rounds otherwise at each operation of each step,
a draw only at the beginning. Measured on the embedded case (24 and 60 steps, learning rates 5e-5 to
0.05, AdamW and SGD), the excess of another attention kernel, number of threads or optimizer flavour
was at most 1.4 times the mean excess of the draws in loss, gradient norm and all weights, and 2.0
times in the worst of 41 tensors; of bf16 against its own draws, 1.6 and 2.6 times."""
LEAST_DRAWS = 4
"""Of fewer, the spread is hardly known."""
TELLING = 0.25
"""A bound that is wider than this share of what it bounds says nothing: of the movement of the
weights; of the spread that the reference's loss and log gradient norm have over its steps."""
_ENOUGH = 0.5  # share of the steps in which a field must be told for a pair to be within noise
_ROUNDING = 2.0**-24  # largest relative error of one rounding in single precision
_TESTS = (
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
_LEVEL = FALSE_ALARMS / len(_TESTS)


class Envelope:
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
        self._reference = Course.of(reference)
        self._draws = [Course.of(draw) for draw in draws]
        for draw in self._draws:
            self._check(draw)
        self._floor = self._roundings()
        self._noise = np.stack([series(self._reference, draw) for draw in self._draws])
        self._scale = self._scale_of(self._noise)
        self._bounds = self._scale * self._factors()
        self._means = [signed(self._reference, draw) for draw in self._draws]

    def judge(self, one: RunRecord, two: RunRecord) -> Noise:
        """Judge `two` against `one`, both variants of the reference or one of them itself.

        Raises `RecordError` where they do not hold what noise is told from. Where neither is the
        reference, both bear noise of their own, and every bound is sqrt(2) times as wide.
        """
        left, right = Course.of(one), Course.of(two)
        self._check(left)
        self._check(right)
        both = 1.0 if self._is_reference(left) or self._is_reference(right) else np.sqrt(2)
        fields = [
            *self._judge_series(left, right, both),
            *self._judge_means(left, right, both),
            *self._judge_metrics(left, right),
        ]
        # A tensor that only noise moves, as the bias of attention's keys, is never told.
        needed = [field for field in fields if field.field in _TESTS and field.field != "tensors"]
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

    def _is_reference(self, course: Course) -> bool:
        return np.array_equal(course.weights, self._reference.weights)

    def _check(self, course: Course) -> None:
        """Raises `RecordError` where a run cannot be lined up with the reference."""
        remedy = "compare runs of one case, and those that went well"
        if course.weights.shape != self._reference.weights.shape:
            shapes = f"{course.weights.shape} and {self._reference.weights.shape}"
            raise RecordError("noise is told from runs of like length and model", shapes, remedy)
        if course.tensors != self._reference.tensors:
            raise RecordError("noise is told from runs of one model", "other tensors", remedy)
        for values in (course.loss, course.grad_norm, course.weights):
            if not np.all(np.isfinite(values)):
                raise RecordError("noise is told from finite values", "NaN or infinity", remedy)

    def _roundings(self) -> Array:
        """What one rounding of each value comes to; nothing is judged finer than that."""
        reference = self._reference
        steps = len(reference.loss)
        floor = np.zeros((steps + 1, 3 + len(reference.tensors)))
        floor[1:, 0] = np.spacing(np.abs(reference.loss).astype(np.float32))
        floor[1:, 1] = 2 * _ROUNDING
        floor[:, 2:] = _ROUNDING * norms(reference.weights)
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
        levels = np.array([_LEVEL] * 3 + [_LEVEL / max(1, tensors)] * tensors)
        quantiles = _t_quantile(levels, count - 1)
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

    def _judge_series(self, one: Course, two: Course, both: float) -> Iterator[FieldNoise]:
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
        pair: tuple[Course, Course],
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

    def _judge_means(self, one: Course, two: Course, both: float) -> Iterator[FieldNoise]:
        """The drift. Its t-test takes zero for the mean, as rounding has no direction."""
        steps = len(self._reference.loss)
        means = signed(one, two)
        mean_loss = float(np.mean(np.abs(self._reference.loss)))
        step = 2 * _ROUNDING
        sizes = {"mean_loss": mean_loss, "evaluation_loss": self._reference.metrics.get("loss", 1)}
        extents = {
            "mean_loss": float(np.std(self._reference.loss)),
            "mean_grad_norm": float(np.std(self._reference.grad_norm)),
            "evaluation_loss": float(np.std(self._reference.loss)),
        }
        quantile = float(_t_quantile(_LEVEL / 2, len(self._draws)))
        for name, mean in means.items():
            drawn = [found[name] for found in self._means if name in found]
            size = sizes.get(name, 1.0)
            floor = step * size / (1 if name == "evaluation_loss" else np.sqrt(steps))
            if name.startswith("along"):
                floor = 0.0
            scale = max(float(np.sqrt(np.mean(np.square(drawn)))), floor)
            bound = ALLOWANCE * quantile * scale * both
            told = bound <= TELLING * extents.get(name, 1.0)
            passed = abs(mean) > bound
            yield FieldNoise(
                field=name,
                outcome="different" if passed else "within_noise" if told else "inconclusive",
                step=None,
                largest=mean,
                relative=mean / size if size else None,
                ulp=ulp_distance(one.metrics["loss"], two.metrics["loss"])
                if name == "evaluation_loss"
                else None,
                difference=mean,
                envelope=scale,
                threshold=bound,
                smallest_visible=bound / size if told and size else None,
                judged=steps if told else 0,
                of=steps,
            )

    def _judge_metrics(self, one: Course, two: Course) -> Iterator[FieldNoise]:
        """Metrics that count rows move in jumps: by no more than two rows beyond the draws."""
        for name, value in self._reference.metrics.items():
            values = [course.metrics.get(name) for course in (one, two)]
            if name == "loss" or None in values:
                continue
            left, right = (float(v) for v in values if v is not None)
            noise = max(abs(draw.metrics.get(name, value) - value) for draw in self._draws)
            bound = noise + 2 / max(1, self._reference.rows)
            apart = abs(right - left)
            yield FieldNoise(
                field=name,
                outcome="within_noise" if apart <= bound else "different",
                step=None,
                largest=apart,
                relative=apart / abs(left) if left else None,
                difference=apart,
                envelope=noise,
                threshold=bound,
                smallest_visible=bound / abs(left) if left else None,
                judged=1,
                of=1,
            )


def _t_quantile(level: float | Array, freedom: int) -> Array:
    """What Student's t passes with probability `level`."""
    # Imported here, since it takes as long as the rest of the command line.
    from scipy import special

    quantile: Array = special.stdtrit(freedom, 1 - np.asarray(level))
    return quantile


def _ulp(field: str, step: int, pair: tuple[Course, Course]) -> float | None:
    """Of a scalar at a step; a mean of several losses is rounded like one of them."""
    if step < 1 or field not in ("loss", "grad_norm"):
        return None
    one, two = (float(getattr(course, field)[step - 1]) for course in pair)
    if field == "grad_norm":
        one, two = float(np.exp(one)), float(np.exp(two))
    return ulp_distance(one, two)
