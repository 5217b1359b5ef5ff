"""The outcome of a pair that is not identical, after comparison with the noise of its reference.

Rounding changes values but not the training data or the schedule. A pair that differs in the order
of rows, batches, random generators, learning rate or number of steps is different, however close
its weights are.
"""

from __future__ import annotations

from harness.comparison.noise.band import NoiseBand
from harness.errors import RecordError
from harness.results.comparison import Comparison
from harness.results.record import RunRecord

__all__ = ["UNAFFECTED_BY_ROUNDING", "apply_noise", "noise_unavailable"]

UNAFFECTED_BY_ROUNDING = ("data_order", "batch_content", "rng", "learning_rate", "step_count")
"""Stages that rounding never changes: a difference in one of them is never noise."""


def apply_noise(
    comparison: Comparison, reference: RunRecord, candidate: RunRecord, band: NoiseBand
) -> Comparison:
    """`comparison`, different bit for bit, with the outcome that follows from the noise band."""
    try:
        noise = band.compare(reference, candidate)
    except RecordError as error:
        return noise_unavailable(comparison, str(error))
    if _differs_beyond_rounding(comparison) or noise.outcome == "different":
        return comparison.model_copy(update={"noise": noise})
    doubts = (*comparison.doubts, *noise.doubts)
    outcome = "inconclusive" if doubts else "within_noise"
    return comparison.model_copy(update={"noise": noise, "outcome": outcome, "doubts": doubts})


def noise_unavailable(comparison: Comparison, why: str) -> Comparison:
    """`comparison` of a pair whose noise could not be determined, for the reason `why`.

    A difference that rounding cannot cause stays `different`; any other becomes `inconclusive`.
    """
    doubts = (*comparison.doubts, f"not compared with noise: {why}")
    outcome = comparison.outcome
    if outcome == "different" and not _differs_beyond_rounding(comparison):
        outcome = "inconclusive"
    return comparison.model_copy(update={"outcome": outcome, "doubts": doubts})


def _differs_beyond_rounding(comparison: Comparison) -> bool:
    """Whether the two differ in something that rounding does not change.

    Settings are not values: another kernel is another setting and only rounds differently. But a
    setting that precedes all values, such as the type of the weights, is more than rounding.
    """
    first = comparison.first_divergence
    return (first is not None and first.stage == "config") or any(
        stage.differing and stage.stage in UNAFFECTED_BY_ROUNDING for stage in comparison.stages
    )
