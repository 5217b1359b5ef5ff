"""A pair that is not identical, judged against the noise of its reference.

Rounding changes values, never what is trained on: a pair that parts in the order of its rows, its
batches, its random generators, its learning rate or its number of steps is different however near
its weights are.
"""

from __future__ import annotations

from harness.comparison.noise.band import NoiseBand
from harness.errors import RecordError
from harness.results.comparison import Comparison
from harness.results.record import RunRecord

__all__ = ["ROUNDING_LEAVES", "apply_noise", "noise_unavailable"]

ROUNDING_LEAVES = ("data_order", "batch_content", "rng", "learning_rate", "step_count")
"""Stages in which every difference is one, whatever the noise."""


def apply_noise(
    comparison: Comparison, reference: RunRecord, candidate: RunRecord, envelope: NoiseBand
) -> Comparison:
    """`comparison`, different bit for bit, with the outcome that follows from the noise."""
    try:
        noise = envelope.judge(reference, candidate)
    except RecordError as error:
        return noise_unavailable(comparison, str(error))
    if _apart(comparison) or noise.outcome == "different":
        return comparison.model_copy(update={"noise": noise})
    doubts = (*comparison.doubts, *noise.doubts)
    outcome = "inconclusive" if doubts else "within_noise"
    return comparison.model_copy(update={"noise": noise, "outcome": outcome, "doubts": doubts})


def noise_unavailable(comparison: Comparison, why: str) -> Comparison:
    """`comparison` of a pair that was to be judged against noise, and could not be.

    A difference that no rounding makes is still one; any other is open.
    """
    doubts = (*comparison.doubts, f"not judged against noise: {why}")
    outcome = comparison.outcome
    if outcome == "different" and not _apart(comparison):
        outcome = "inconclusive"
    return comparison.model_copy(update={"outcome": outcome, "doubts": doubts})


def _apart(comparison: Comparison) -> bool:
    """Whether the two differ in what rounding leaves alone.

    A setting is no value, and kernels that round otherwise are settings; but one that comes before
    all values, as the type of the weights does, is more than rounding.
    """
    first = comparison.first_divergence
    return (first is not None and first.stage == "config") or any(
        stage.differing and stage.stage in ROUNDING_LEAVES for stage in comparison.stages
    )
