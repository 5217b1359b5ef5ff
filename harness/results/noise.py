"""What is said of a pair of runs against the noise of their reference; found by `envelope.py`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["FieldNoise", "Noise"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class FieldNoise(_Result):
    """One field of a pair against the noise of the reference."""

    field: str
    tensor: str | None = None
    """Of a tensor's weights: the one that comes nearest to its bound, or passes it most."""
    outcome: Literal["within_noise", "different", "inconclusive"]
    step: int | None
    """Where the difference is largest, measured by the bound; None: over the whole run."""
    largest: float
    """The largest difference, absolute."""
    step_of_largest: int | None = None
    relative: float | None
    """The largest difference over the reference's value; for weights over their movement so far."""
    ulp: float | None = None
    """The largest difference in units of the last place of single precision, for a scalar."""
    difference: float
    """The difference at `step`."""
    envelope: float
    """The noise of the reference there: root mean square of the draws."""
    threshold: float
    """What a difference there must pass to be no noise."""
    smallest_visible: float | None
    """The smallest relative difference that would have been seen, at the step that tells most;
    None where the envelope was too wide at every step."""
    judged: int
    """Steps (for `tensors`: tensors) at which the envelope was narrow enough to tell."""
    of: int
    """Of so many."""


class Noise(_Result):
    """A pair against the noise of the reference."""

    draws: int
    rounding: str
    """How the draws were perturbed, see `perturbation.py`."""
    false_alarms: float
    """Share of clean pairs that the bounds may call different."""
    allowance: float
    """By which every bound is widened."""
    fields: tuple[FieldNoise, ...]
    doubts: tuple[str, ...] = ()
    """Why the pair cannot be called within noise though nothing passed its bound."""

    @property
    def outcome(self) -> Literal["within_noise", "different", "inconclusive"]:
        """A difference, wherever it was seen; else what is not known; else noise."""
        if any(field.outcome == "different" for field in self.fields):
            return "different"
        return "inconclusive" if self.doubts else "within_noise"
