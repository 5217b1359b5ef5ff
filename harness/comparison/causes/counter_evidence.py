"""Counter-evidence that several rows share: other explanations, and the records that show them."""

from __future__ import annotations

from harness.comparison.causes.cause import CounterEvidence
from harness.comparison.causes.evidence import Evidence
from harness.comparison.factors import UNIFORM, factors, one_factor, ratios_applied
from harness.results.arrow import as_numpy, filled

__all__ = [
    "ANOTHER_RULE",
    "COLLATOR_DRAWS",
    "DIVIDED_MORE",
    "GRADIENTS_SCALED_LATER",
    "MORE_THAN_ROUNDING",
    "MORE_THAN_TF32",
    "OTHER_OPTIONS",
    "OTHER_SEED",
    "RESUMED",
    "SAME_SCALE",
    "UPDATE_MISSING",
]


_UPDATE_RULE = ("optimizer.rule", "optimizer.decoupled_weight_decay")
_ROUNDING = 1e-5  # relative; measured for kernels, threads and implementations: up to 1e-6
_TF32 = 1e-2  # relative; a product in TF32 keeps 10 bits, which changes a value by about 1e-3


def _resumed(evidence: Evidence) -> bool:
    return evidence.resumed_at is not None


def _other_seed(evidence: Evidence) -> bool:
    return "rng.seed" in evidence.settings


def _collator_draws(evidence: Evidence) -> bool:
    return any(run.setting("collator.draws") for run in evidence.runs)


def _scaled_later(evidence: Evidence) -> bool:
    factor = evidence.first_factor
    known = factor is not None and evidence.loss_factors_known
    return known and evidence.run_with_scaled_loss(factor or 1) is None


def _divided_more(evidence: Evidence) -> bool:
    factor = evidence.first_factor
    if factor is None or not evidence.loss_factors_known:
        return False
    smaller = evidence.reference if factor > 1 else evidence.candidate
    return evidence.run_with_scaled_loss(factor) is smaller


def _more_than_rounding(evidence: Evidence) -> bool:
    """Whether values are further apart than rounding in single precision brings them."""
    return _further_apart(evidence, _ROUNDING)


def _more_than_tf32(evidence: Evidence) -> bool:
    """Whether values are further apart than TF32 brings them."""
    return _further_apart(evidence, _TF32)


def _further_apart(evidence: Evidence, least: float) -> bool:
    """Whether the first values that differ, or the losses after the first update that differs,
    differ by more than this share, gradients by a hundred times it, at most by a tenth."""
    first = evidence.first
    if first is None or any(run.computes_in_half_precision for run in evidence.runs):
        return False
    if first.stage == "loss":
        return (first.relative or 0.0) > least
    if first.stage == "gradients":
        ratios = factors(evidence.reference.record, evidence.candidate.record, first.step)
        return any(abs(ratio - 1) > min(100 * least, 0.1) for ratio in ratios.values())
    if first.stage not in ("weights", "optimizer_state"):
        return False
    inputs = ("data_order", "batch_content", "rng")
    if any(n in evidence.firsts and evidence.firsts[n].step <= first.step + 1 for n in inputs):
        return False
    pairs = zip(*(run.losses_at(first.step + 1) for run in evidence.runs), strict=False)
    return any(abs(two - one) > least * abs(one) for one, two in pairs)


def _other_options(evidence: Evidence) -> bool:
    """Whether options of the optimizers differ that change more than rounding."""
    alike = {"optimizer.flavour", "optimizer.learning_rate", "optimizer.weight_decay"}
    return any(
        name.startswith("optimizer.") and name not in {*alike, *_UPDATE_RULE}
        for name in evidence.settings
    )


def _another_rule(evidence: Evidence) -> bool:
    return any(name in evidence.settings for name in _UPDATE_RULE)


def _same_scale(evidence: Evidence) -> bool:
    """Whether both updates at the first step that differs use equally scaled gradients."""
    if evidence.first_stage not in ("weights", "optimizer_state"):
        return False
    one, two = (one_factor(ratios_applied(run.record, evidence.step)) for run in evidence.runs)
    return one is not None and two is not None and abs(one - two) <= UNIFORM * abs(one)


def _update_missing(evidence: Evidence) -> bool:
    """Whether one run makes no update from some rows: then its later steps are other updates."""
    place, rates = evidence.firsts.get("data_order"), evidence.firsts.get("learning_rate")
    if place is None or rates is None or place.step > rates.step:
        return False
    sizes = [as_numpy(filled(run.record.micro_batches["step"], 0)) for run in evidence.runs]
    one, two = (int((steps == place.step).sum()) for steps in sizes)
    return one != two


ANOTHER_RULE = CounterEvidence(
    "the optimizers have other update rules",
    "the settings `optimizer.rule` and `optimizer.decoupled_weight_decay`",
    _another_rule,
)
MORE_THAN_ROUNDING = CounterEvidence(
    "the values differ by more than rounding",
    "the losses, or the norms of the gradients, at the first difference and after it",
    _more_than_rounding,
)
MORE_THAN_TF32 = CounterEvidence(
    "the values differ by more than TF32 explains",
    "the losses, or the norms of the gradients, at the first difference and after it",
    _more_than_tf32,
)
OTHER_OPTIONS = CounterEvidence(
    "other options of the optimizers differ, such as betas or eps",
    "the settings `optimizer.*`",
    _other_options,
)
RESUMED = CounterEvidence("one run was resumed before this step", "`resumed_from`", _resumed)
OTHER_SEED = CounterEvidence(
    "the random generators have other seeds", "the setting `rng.seed`", _other_seed
)
COLLATOR_DRAWS = CounterEvidence(
    "a collator draws random numbers, so batches differ by the state of a generator",
    "the setting `collator.draws`",
    _collator_draws,
)
GRADIENTS_SCALED_LATER = CounterEvidence(
    "the gradients are scaled, the loss is not",
    "`loss_scaled`: the gradient of the logits against that of the workload's loss",
    _scaled_later,
)
DIVIDED_MORE = CounterEvidence(
    "the run with the smaller gradients divides its loss once more",
    "`loss_scaled`",
    _divided_more,
)
SAME_SCALE = CounterEvidence(
    "at the first step that differs, both updates use gradients scaled by one factor",
    "the norms of the raw gradients and of those that the update used",
    _same_scale,
)
UPDATE_MISSING = CounterEvidence(
    "one run makes no update from some rows, so its later steps are other updates",
    "the number of micro-batches of each step",
    _update_missing,
)
