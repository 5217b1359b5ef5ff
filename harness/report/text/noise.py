"""A pair compared with the noise of its reference, in sentences."""

from __future__ import annotations

from harness.results.noise import FieldNoise, Noise
from harness.units import number

__all__ = ["caption", "field_title", "sentence"]

_TITLES = {
    "loss": "loss",
    "grad_norm": "log gradient norm",
    "weights": "all weights",
    "mean_loss": "mean of loss",
    "mean_grad_norm": "mean of log gradient norm",
    "along_movement": "weights along their movement",
    "along_initial_weights": "weights along the initial ones",
    "evaluation_loss": "evaluation loss",
}
_PERTURBATIONS = {
    "weights": "a change of one ulp in each initial weight",
    "bf16": "random rounding to bf16",
}
_NAMED = 3
"""Fields that a sentence names; of more it gives the number."""


def caption(noise: Noise) -> str:
    """How the noise band was measured, and what the columns are relative to."""
    perturbation = _PERTURBATIONS.get(noise.rounding, noise.rounding)
    return (
        f"Noise: root mean square of {noise.draws} draws of the reference with {perturbation}, at "
        "the step where the difference is nearest to its bound. Relative values and the smallest "
        "visible difference are fractions of the value; for weights, fractions of their movement. "
        f"A share of {number(noise.false_alarms)} of clean pairs may exceed the bounds. The "
        f"bounds are widened by a factor of {number(noise.allowance)} for other kernels."
    )


def sentence(noise: Noise) -> str:
    """The fields outside the noise band; if there are none, the distance of the weights."""
    outside = [field_title(field) for field in noise.fields if field.outcome == "different"]
    band = f"the noise band of {noise.draws} draws"
    if outside:
        rest = len(outside) - _NAMED
        more = f" and {rest} more field{'s' if rest > 1 else ''}" if rest > 0 else ""
        return f"outside {band} in {', '.join(outside[:_NAMED])}{more}"
    weights = next(field for field in noise.fields if field.field == "weights")
    text = f"no field is outside {band}"
    if weights.relative is not None:
        text += f"; the weights differ by {number(weights.relative, 2)} of their movement"
    if weights.smallest_visible is not None:
        text += f"; the smallest visible difference is {number(weights.smallest_visible, 2)}"
    return text


def field_title(field: FieldNoise) -> str:
    """What a reader calls the field."""
    return field.tensor or _TITLES.get(field.field, field.field)
