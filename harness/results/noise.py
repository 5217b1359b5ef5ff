"""The comparison of two runs with the noise of their reference."""

from __future__ import annotations

from typing import Literal

from harness.results.base import Result

__all__ = ["FieldNoise", "Noise"]


class FieldNoise(Result):
    """One field of a pair, compared with the noise of the reference."""

    field: str
    """The field, such as `loss`, `grad_norm`, `weights` or `mean_loss`."""
    tensor: str | None = None
    """For the field `tensors`: the tensor with the largest difference relative to its bound."""
    outcome: Literal["within_noise", "different", "inconclusive"]
    """The outcome of this field."""
    step: int | None
    """The step of the largest difference relative to the bound; None for the whole run."""
    largest: float
    """The largest absolute difference."""
    step_of_largest: int | None = None
    """The step of that difference."""
    relative: float | None
    """The largest difference / the value of the reference; for weights, / their movement so far."""
    ulp: float | None = None
    """For a scalar: the largest difference in units of the last place of single precision."""
    difference: float
    """The difference at `step`."""
    envelope: float
    """The noise of the reference there: the root mean square of the draws."""
    threshold: float
    """The bound of the noise band there: a larger difference is not noise."""
    smallest_visible: float | None
    """The smallest relative difference that leaves the noise band, at the best step; None if the
    band is too wide at every step."""
    judged: int
    """Number of steps (for `tensors`: of tensors) with a narrow noise band."""
    of: int
    """Number of all steps (for `tensors`: of all tensors)."""


class Noise(Result):
    """A pair, compared with the noise of the reference."""

    draws: int
    """Number of perturbed runs of the reference."""
    rounding: str
    """How the draws were perturbed; see `harness.training.perturbation`."""
    false_alarms: float
    """Share of clean pairs that may be called different."""
    allowance: float
    """Factor that widens every bound."""
    fields: tuple[FieldNoise, ...]
    """The comparison of each field."""
    doubts: tuple[str, ...] = ()
    """Why the pair is not `within_noise` although no difference leaves the band."""

    @property
    def outcome(self) -> Literal["within_noise", "different", "inconclusive"]:
        """`different` if a field is; `inconclusive` if there is a doubt; else `within_noise`."""
        if any(field.outcome == "different" for field in self.fields):
            return "different"
        return "inconclusive" if self.doubts else "within_noise"
