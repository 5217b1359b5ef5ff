"""The noise band of a reference, and the differences that leave it.

The reference runs again several times, each time perturbed by rounding (see
`harness.training.perturbation`). These runs are the draws. For each field (loss, gradient norm,
weights, and the weights of each tensor) the *scale* at a step is the root mean square of the draws'
differences from the reference. It grows with the noise over the steps. The *excess* of a pair in a
field is its largest difference over all steps, in units of the scale. The excess of each draw
relative to the other draws shows what rounding alone produces. The mean and the spread of the
logarithms of these excesses give the prediction bound for one more draw. That bound holds for all
steps at once, so no correction for the number of steps is needed. Differences between two draws are
not used: where noise adds up, they are sqrt(2) times those from the reference and add no
information.

The signed differences are tested too. The fields are the loss, the log gradient norm, and the
weights along the reference's own movement and along its initial weights. A t-test against the draws
must not distinguish their means over the run from zero. A small fault that is hidden in the noise
of each step adds up in such a mean.

Each tensor is tested by itself, besides all weights together. Measured on the embedded BERT over 60
steps, the noise of all weights (5.9e-5 of their movement) is mostly that of the key biases in its
two layers (5.3e-5 and 2.5e-5). Their exact gradient is zero, and AdamW follows its rounding errors.

A noise band is not a tolerance: the rate of false alarms is fixed beforehand. The smallest
difference that the bound distinguishes from noise is reported as `smallest_visible`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from harness.comparison.noise.mean_shift import (
    ALLOWANCE,
    FALSE_ALARMS,
    LEVEL,
    NARROW,
    ROUNDING,
    TESTS,
    mean_shifts,
    metric_differences,
    t_quantile,
)
from harness.comparison.noise.series import Array, RunSeries, difference_series, norms
from harness.errors import RecordError
from harness.results.divergence import ulp_distance
from harness.results.noise import FieldNoise, Noise
from harness.results.record import RunRecord
from harness.spec.case import LEAST_DRAWS

__all__ = ["NoiseBand"]

_RESOLVED_SHARE = 0.5  # share of steps with a narrow band that `within_noise` requires


class NoiseBand:
    """The noise of one reference, from its record and the records of its draws."""

    def __init__(self, reference: RunRecord, draws: Sequence[RunRecord], rounding: str) -> None:
        """Raises `RecordError` if a record does not hold what a noise band needs."""
        self.rounding = rounding
        if len(draws) < LEAST_DRAWS:
            raise RecordError(
                f"a noise band needs {LEAST_DRAWS} draws or more", len(draws), "run more of them"
            )
        for record in (reference, *draws):
            if record.header.status != "completed" or not len(record.steps):
                what = f"{record.folder}, {record.header.status}"
                raise RecordError("a noise band needs completed runs", what, "run it again")
        self._reference = RunSeries.of(reference)
        self._draws = [RunSeries.of(draw) for draw in draws]
        for draw in self._draws:
            self._check(draw)
        self._floor = self._roundings()
        self._noise = np.stack([difference_series(self._reference, draw) for draw in self._draws])
        self._scale = self._scale_of(self._noise)
        self._bounds = self._scale * self._factors()

    def compare(self, one: RunRecord, two: RunRecord) -> Noise:
        """Compare the difference of `two` from `one` with the noise of the reference.

        Each of the two is the reference or another run of its case. If neither is the reference,
        both have noise, and every bound is sqrt(2) times as wide. Raises `RecordError` if a record
        does not hold what a noise band needs.
        """
        left, right = RunSeries.of(one), RunSeries.of(two)
        self._check(left)
        self._check(right)
        if one.header.initial_weights == two.header.initial_weights:
            apart, size = (norms(w[:1])[0, 0] for w in (right.weights - left.weights, left.weights))
            if apart > size / 2:
                raise RecordError(
                    "equal weights have equal sketches",
                    "other signs, as other versions of the harness drew them",
                    "run both again",
                )
        pair_factor = 1.0 if self._is_reference(left) or self._is_reference(right) else np.sqrt(2)
        fields = [
            *self._compare_series(left, right, pair_factor),
            *mean_shifts(self._reference, self._draws, (left, right), pair_factor),
            *metric_differences(self._reference, self._draws, (left, right)),
        ]
        # A tensor that only noise moves, such as the key bias of attention, has no narrow band.
        needed = [field for field in fields if field.field in TESTS and field.field != "tensors"]
        doubts = [
            f"the noise band of {field.field} is too wide: only {field.judged} of {field.of} steps "
            "have a narrow one; shorten the run, or lower the learning rate"
            for field in needed
            if field.judged < _RESOLVED_SHARE * field.of
        ]
        return Noise(
            draws=len(self._draws),
            rounding=self.rounding,
            false_alarms=FALSE_ALARMS,
            allowance=ALLOWANCE,
            fields=tuple(fields),
            doubts=tuple(doubts),
        )

    def _is_reference(self, run: RunSeries) -> bool:
        return np.array_equal(run.weights, self._reference.weights)

    def _check(self, run: RunSeries) -> None:
        """Raises `RecordError` if a run cannot be aligned with the reference."""
        remedy = "compare completed runs of one case"
        if run.weights.shape != self._reference.weights.shape:
            shapes = f"{run.weights.shape} and {self._reference.weights.shape}"
            raise RecordError("a noise band needs runs of one length and one model", shapes, remedy)
        if run.tensors != self._reference.tensors:
            raise RecordError("a noise band needs runs of one model", "other tensors", remedy)
        if run.evaluated != self._reference.evaluated:
            raise RecordError(
                "a noise band needs runs with equal evaluations", "other ones", remedy
            )
        for values in (run.loss, run.grad_norm, run.weights):
            if not np.all(np.isfinite(values)):
                raise RecordError("a noise band needs finite values", "NaN or infinity", remedy)

    def _roundings(self) -> Array:
        """The size of one rounding of each value, the lower limit of every scale."""
        reference = self._reference
        steps = len(reference.loss)
        floor = np.zeros((steps + 1, 3 + len(reference.tensors)))
        floor[1:, 0] = np.spacing(np.abs(reference.loss).astype(np.float32))
        floor[1:, 1] = 2 * ROUNDING
        floor[:, 2:] = ROUNDING * norms(reference.weights)
        return np.maximum(floor, np.finfo(np.float64).tiny)

    def _scale_of(self, noise: Array) -> Array:
        """[draws, steps + 1, fields] -> [steps + 1, fields]: root mean square over the draws.

        Each step has its own scale. With a scale over five neighbouring steps the bounds of loss
        and gradient norm were up to twelve times as wide, since the noise depends on the batch.
        """
        scale: Array = np.maximum(np.sqrt(np.mean(np.square(noise), axis=0)), self._floor)
        return scale

    def _factors(self) -> Array:
        """The bound of each field, in units of the scale.

        The one-sided prediction bound for one more value of a normal sample (Hahn and Meeker,
        "Statistical Intervals", 1991, 4.8), applied to the logarithms of the draws' excesses.
        """
        count = len(self._draws)
        excesses = [
            np.max(self._noise[i] / self._scale_of(np.delete(self._noise, i, axis=0)), axis=0)
            for i in range(count)
        ]
        # An excess of 0 (a frozen tensor) has no logarithm and counts as half a unit of noise.
        logs = np.log(np.maximum(excesses, 0.5))
        tensors = logs.shape[1] - 3
        levels = np.array([LEVEL] * 3 + [LEVEL / max(1, tensors)] * tensors)
        quantiles = t_quantile(levels, count - 1)
        spread = np.std(logs, axis=0, ddof=1) * np.sqrt(1 + 1 / count)
        # A larger exponent would make the bound infinite.
        exponent = np.minimum(np.mean(logs, axis=0) + quantiles * spread, 300.0)
        factors: Array = ALLOWANCE * np.exp(exponent)
        return factors

    def _extents(self) -> Array:
        """The sizes that the bounds are compared with, [steps + 1, 3 + tensors]; see `NARROW`."""
        reference = self._reference
        extents = np.zeros_like(self._scale)
        extents[1:, 0] = np.std(reference.loss)
        extents[1:, 1] = np.std(reference.grad_norm)
        extents[:, 2:] = norms(reference.movement)
        return extents

    def _compare_series(
        self, one: RunSeries, two: RunSeries, pair_factor: float
    ) -> Iterator[FieldNoise]:
        differences, bounds = difference_series(one, two), self._bounds * pair_factor
        with np.errstate(over="ignore"):
            excess = differences / bounds
        narrow = bounds <= NARROW * self._extents()
        sizes = np.ones_like(bounds)
        sizes[1:, 0] = np.abs(self._reference.loss)
        sizes[:, 2:] = norms(self._reference.movement)
        for column, name in enumerate(("loss", "grad_norm", "weights")):
            yield self._field(name, column, differences, bounds, excess, narrow, sizes, (one, two))
        tensors = slice(3, None)
        worst = 3 + int(np.argmax(excess[:, tensors].max(axis=0)))
        field = self._field(
            "tensors", worst, differences, bounds, excess, narrow, sizes, (one, two)
        )
        yield field.model_copy(
            update={
                "tensor": self._reference.tensors[worst - 3],
                "judged": int(np.count_nonzero(narrow[:, tensors].any(axis=0))),
                "of": len(self._reference.tensors),
            }
        )

    def _field(
        self,
        name: str,
        column: int,
        differences: Array,
        bounds: Array,
        excess: Array,
        narrow: npt.NDArray[np.bool_],
        sizes: Array,
        pair: tuple[RunSeries, RunSeries],
    ) -> FieldNoise:
        step = int(np.argmax(excess[:, column]))
        top = int(np.argmax(differences[:, column]))
        resolved = np.flatnonzero(narrow[1:, column]) + 1
        passed = bool(excess[step, column] > 1)
        size = sizes[top, column]
        return FieldNoise(
            field=name,
            outcome="different" if passed else "within_noise" if len(resolved) else "inconclusive",
            step=step,
            largest=float(differences[top, column]),
            step_of_largest=top,
            relative=float(differences[top, column] / size) if size else None,
            ulp=_ulp(name, top, pair),
            difference=float(differences[step, column]),
            envelope=float(self._scale[step, column]),
            threshold=float(bounds[step, column]),
            smallest_visible=float(np.min(bounds[resolved, column] / sizes[resolved, column]))
            if len(resolved)
            else None,
            judged=len(resolved),
            of=len(differences) - 1,
        )


def _ulp(field: str, step: int, pair: tuple[RunSeries, RunSeries]) -> float | None:
    """The distance of a scalar at a step; a mean of losses is rounded like one loss."""
    if step < 1 or field not in ("loss", "grad_norm"):
        return None
    one, two = (float(getattr(run, field)[step - 1]) for run in pair)
    if field == "grad_norm":
        one, two = float(np.exp(one)), float(np.exp(two))
    return ulp_distance(one, two)
