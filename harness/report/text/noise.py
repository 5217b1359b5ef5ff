"""A pair against the noise of its reference -> rows for the tables, and a few words."""

from __future__ import annotations

from harness.results.noise import FieldNoise, Noise
from harness.units import number

__all__ = ["caption", "field_title", "words"]

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


def caption(noise: Noise) -> str:
    """What the table of a pair says, and how it was found."""
    kinds = {"weights": "one ulp in each initial weight", "bf16": "roundings to bf16 at random"}
    return (
        f"Noise: root mean square of {noise.draws} draws of the reference, perturbed by "
        f"{kinds.get(noise.rounding, noise.rounding)}, where the difference comes nearest to its "
        f"bound; relative and smallest visible: of the value, for weights of their movement; "
        f"bounds that {number(noise.false_alarms)} of clean pairs may pass, widened by "
        f"{number(noise.allowance)} for other kernels."
    )


def words(noise: Noise) -> str:
    """What stands out of the noise; else how near, and what would have been seen."""
    beyond = [field_title(field) for field in noise.fields if field.outcome == "different"]
    if beyond:
        more = f" and {len(beyond) - 3} more fields" if len(beyond) > 3 else ""
        return f"beyond the noise of {noise.draws} draws in {', '.join(beyond[:3])}{more}"
    weights = next(field for field in noise.fields if field.field == "weights")
    text = f"no field beyond the noise of {noise.draws} draws"
    if weights.relative is not None:
        text += f"; weights {number(weights.relative, 2)} of their movement apart"
    if weights.smallest_visible is not None:
        text += f", {number(weights.smallest_visible, 2)} would have been seen"
    return text


def field_title(field: FieldNoise) -> str:
    return field.tensor or _TITLES.get(field.field, field.field)
