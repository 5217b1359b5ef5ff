"""Causes in how gradients are computed, or changed before an update."""

from __future__ import annotations

import math

from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView, close
from harness.units import number

__all__ = ["RULES"]

_UPDATE = ("weights", "optimizer_state")
_SCALER = 3  # a loss scaler multiplies by a power of two, hardly below the third


def _is(factor: float, expected: float) -> bool:
    """Whether `factor` is `expected` or its inverse."""
    return close(factor, expected) or close(factor, 1 / expected)


def _run_with_larger_loss(evidence: Evidence, factor: float) -> RunView | None:
    """The run with the larger gradients; None if its scaled loss does not explain them."""
    run = evidence.candidate if factor > 1 else evidence.reference
    return (
        None
        if evidence.loss_factors_known and evidence.run_with_scaled_loss(factor) is not run
        else run
    )


def _run_with_summed_loss(evidence: Evidence) -> RunView | None:
    """The run that sums the losses of a window while the other run averages them."""
    factor = evidence.first_factor
    window = evidence.reference.window(evidence.step)
    if factor is None or window < 2 or window != evidence.candidate.window(evidence.step):
        return None
    if window < evidence.reference.record.run_spec.recipe.gradient_accumulation_steps:
        return None  # the rule "last-window" covers an epoch's short window
    size = evidence.reference.world_size
    if _is(factor, window) and window != size:
        return _run_with_larger_loss(evidence, factor)
    return (
        _run_with_larger_loss(evidence, factor) if size > 1 and _is(factor, window * size) else None
    )


def _accumulation_not_averaged(evidence: Evidence) -> str | None:
    run = _run_with_summed_loss(evidence)
    if run is None or not run.setting("trainer.leaves_average_to_model"):
        return None
    window = run.window(evidence.step)
    return (
        f"gradients differ by the factor {number(evidence.gradient_factor or 0)} at step "
        f"{evidence.step}, a window of {window} micro-batches: the Trainer of {run.label} leaves "
        "the average to the model, and the model does not compute it"
    )


def _loss_not_divided(evidence: Evidence) -> str | None:
    run = _run_with_summed_loss(evidence)
    if run is None or run.setting("trainer.leaves_average_to_model"):
        return None
    return (
        f"gradients differ by the factor {number(evidence.gradient_factor or 0)} at step "
        f"{evidence.step}: {run.label} sums the losses of {run.window(evidence.step)} "
        "micro-batches and does not divide them"
    )


def _loss_times_world_size(evidence: Evidence) -> str | None:
    factor, size = evidence.first_factor, evidence.reference.world_size
    if factor is None or size < 2 or size != evidence.candidate.world_size:
        return None
    window = evidence.reference.window(evidence.step)
    if not (_is(factor, size) and window != size) and not (
        window > 1 and _is(factor, window * size)
    ):
        return None
    run = _run_with_larger_loss(evidence, factor)
    if run is None:
        return None
    return (
        f"gradients differ by the factor {number(factor)}: {run.label} multiplies its loss by the "
        f"number of processes, {size}"
    )


def _unshifted_label_count(evidence: Evidence) -> str | None:
    factor = evidence.first_factor
    if factor is None:
        return None
    labels, targets = (
        sum(evidence.reference.circumstance(evidence.step, column))
        for column in ("labels", "targets")
    )
    if not targets or targets == labels or not _is(factor, targets / labels):
        return None
    if not close(max(factor, 1 / factor) - 1, labels / targets - 1, 0.02):
        return None
    run = evidence.candidate if factor < 1 else evidence.reference
    if evidence.loss_factors_known and evidence.run_with_scaled_loss(factor) is not run:
        return None
    return (
        f"gradients differ by the factor {number(factor, 6)}: {run.label} divides its loss by "
        f"{labels} labels, but only {targets} of them are predicted"
    )


def _clip_per_micro_batch(evidence: Evidence) -> str | None:
    if evidence.first_stage != "gradients":
        return None
    for run, other in evidence.ordered_pairs:
        norms = run.values_observed("gradients_changed_between_backwards")
        limit = run.record.run_spec.recipe.max_grad_norm or other.clip_norm
        if not norms or other.observed("gradients_changed_between_backwards") or not limit:
            continue
        if max(norms) <= 1.001 * limit and any(close(norm, limit) for norm in norms):
            return (
                f"{run.label} scales its gradients to a norm of {number(limit)} after a "
                f"micro-batch of step {evidence.step}, before the window is complete"
            )
    return None


def _clip_before_unscale(evidence: Evidence) -> str | None:
    """Both scale their losses equally; one clips the scaled gradients and unscales them after."""
    if evidence.first_stage != "weights":
        return None
    for run, other in evidence.ordered_pairs:
        limit = other.record.run_spec.recipe.max_grad_norm
        small, right = run.applied_norm(evidence.step), other.applied_norm(evidence.step)
        raw = other.grad_norms[evidence.step - 1]
        if not limit or not small or not right:
            continue
        power = math.log2(limit / small)
        scale = 2.0 ** round(power)
        if power < 1 or abs(power - round(power)) > 1e-3:
            continue
        if not all(close(each.loss_factor(evidence.step), scale) for each in (run, other)):
            continue  # the losses were not scaled by this factor
        if close(right, min(limit, raw / scale)):
            return (
                f"the update at step {evidence.step} uses gradients of norm {number(small)} in "
                f"{run.label} and {number(right)} in {other.label}: {run.label} clips them to "
                f"{number(limit)} while they are scaled by {number(scale)}, and unscales them after"
            )
    return None


def _only_one_clips(evidence: Evidence) -> tuple[RunView, RunView, float] | None:
    """The run that clips, the run that never changes its gradients, and the norm."""
    for run, other in evidence.ordered_pairs:
        limit = run.clip_norm
        if limit is None or other.scales_gradients:
            continue
        if any(norm > limit * 1.001 for norm in other.grad_norms):
            return run, other, limit
    return None


def _hidden_clip(evidence: Evidence) -> str | None:
    found = _only_one_clips(evidence)
    if found is None:
        return None
    run, other, limit = found
    for late in ("gradients_changed_after_update", "gradients_changed_before_zeroing"):
        if other.observed(late):  # it may clip, but too late
            return None
    return (
        f"{run.label} clips gradients to a norm of {number(limit)}; {other.label} does not clip, "
        f"and its norms reach {number(max(other.grad_norms))}"
    )


def _other_clip(evidence: Evidence) -> str | None:
    if evidence.first_stage not in _UPDATE:
        return None
    one, two = (run.clip_norm for run in evidence.runs)
    if one is None or two is None or close(one, two):
        return None
    ours, theirs = (run.applied_norm(evidence.step) for run in evidence.runs)
    if ours is None or theirs is None or close(ours, theirs):
        return None  # neither clips at this step, so something else differs
    power = math.log2(one / two)
    if abs(power) >= _SCALER and abs(power - round(power)) < 1e-3:
        return None  # perhaps one of them clips while a loss scaler has scaled the gradients
    first, second = (run.label for run in evidence.runs)
    return f"{first} scales gradients of a larger norm to {number(one)}, {second} to {number(two)}"


def _clip_after_step(evidence: Evidence) -> str | None:
    found = _only_one_clips(evidence)
    if found is None or not found[1].observed("gradients_changed_after_update"):
        return None
    run, other, limit = found
    return (
        f"{other.label} changes its gradients after the update; {run.label} clips them to a norm "
        f"of {number(limit)} before the update"
    )


def _no_sync_misplaced(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        dissent = run.record.dissent
        if not len(dissent) or len(other.record.dissent):
            continue
        step, gradient = dissent["step"][0].as_py(), dissent["gradient"][0].as_py()
        if gradient is not None:
            return (
                f"at step {step} the processes of {run.label} update from different gradients: "
                "those of the last backward pass are not averaged over the processes"
            )
    return None


RULES = (
    CauseRule(
        "accumulation-not-averaged",
        "the Trainer leaves the average over a window to the model, which does not compute it",
        ("loss", "gradients"),
        _accumulation_not_averaged,
        "set model.accepts_loss_kwargs = False before the Trainer is built",
        "transformers#47688",
    ),
    CauseRule(
        "loss-times-world-size",
        "the loss is multiplied by the number of processes",
        ("loss", "gradients"),
        _loss_times_world_size,
        "pass average_tokens_across_devices=False, or set model.accepts_loss_kwargs = False",
        "transformers#39395",
    ),
    CauseRule(
        "loss-not-divided",
        "the losses of a window are summed, not averaged",
        ("loss", "gradients"),
        _loss_not_divided,
        "divide each loss by the number of micro-batches in its window",
    ),
    CauseRule(
        "unshifted-label-count",
        "the loss is divided by a number of labels that includes labels never predicted",
        ("loss", "gradients"),
        _unshifted_label_count,
        "count the labels after the shift",
        "transformers#46204",
    ),
    CauseRule(
        "clip-per-micro-batch",
        "gradients are clipped before their window is complete",
        ("gradients", "grad_norm"),
        _clip_per_micro_batch,
        "clip once per update, after the last micro-batch (Accelerate: if sync_gradients)",
        "accelerate#641",
    ),
    CauseRule(
        "clip-before-unscale",
        "gradients are clipped before the loss scaler unscales them",
        ("grad_norm", *_UPDATE),
        _clip_before_unscale,
        "call scaler.unscale_(optimizer) before clipping",
        "accelerate#641",
    ),
    CauseRule(
        "hidden-clip",
        "only one run clips gradients",
        _UPDATE,
        _hidden_clip,
        "set the same max_grad_norm; the default of the Trainer is 1.0",
        needs_recipe=False,
    ),
    CauseRule(
        "clip-norm-differs",
        "the two clip gradients to different norms",
        _UPDATE,
        _other_clip,
        "set the same max_grad_norm",
        needs_recipe=False,
    ),
    CauseRule(
        "clip-after-step",
        "gradients are clipped after the update",
        _UPDATE,
        _clip_after_step,
        "clip between backward() and step()",
        needs_recipe=False,
    ),
    CauseRule(
        "no-sync-misplaced",
        "the last backward pass before an update does not average over the processes",
        ("gradients",),
        _no_sync_misplaced,
        "use no_sync() for all micro-batches of a window except the last",
        needs_recipe=False,
    ),
)
