"""Causes in how gradients are reduced, or changed before an update."""

from __future__ import annotations

import math

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import SAME_SCALE
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView, close
from harness.comparison.factors import norms_at
from harness.units import number

__all__ = ["RULES"]

_UPDATE = ("weights", "optimizer_state")
_SCALER = 3  # a loss scaler multiplies by a power of two, hardly below the third


def _clip_per_micro_batch(evidence: Evidence) -> str | None:
    if evidence.first_stage != "gradients":
        return None
    for run, other in evidence.ordered_pairs:
        norms = run.values_observed("gradients_changed_between_backwards")
        limit = run.record.run_spec.recipe.max_grad_norm or other.clip_norm
        if not norms or not limit:
            continue
        if max(norms) <= 1.001 * limit and any(close(norm, limit) for norm in norms):
            return (
                f"{run.label} scales its gradients to a norm of {number(limit)} after a "
                f"micro-batch of step {evidence.step}, before the window is complete"
            )
    return None


def _both_change_between(evidence: Evidence) -> bool:
    return all(run.observed("gradients_changed_between_backwards") for run in evidence.runs)


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
        if close(right, min(limit, raw / scale)):
            return (
                f"the update at step {evidence.step} uses gradients of norm {number(small)} in "
                f"{run.label} and {number(right)} in {other.label}: {run.label} clips them to "
                f"{number(limit)} while they are scaled by {number(scale)}, and unscales them after"
            )
    return None


def _losses_not_scaled(evidence: Evidence) -> bool:
    """Whether the losses of the two are not scaled by one power of two above 1."""
    one, two = (run.loss_factor(evidence.step) for run in evidence.runs)
    return not (close(one, two) and one >= 2 and close(math.log2(one), round(math.log2(one))))


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
    return (
        f"{run.label} clips gradients to a norm of {number(limit)}; the updates of {other.label} "
        f"use gradients that are not clipped, whose norms reach {number(max(other.grad_norms))}"
    )


def _clips_late(evidence: Evidence) -> bool:
    found = _only_one_clips(evidence)
    late = ("gradients_changed_after_update", "gradients_changed_before_zeroing")
    return found is not None and any(found[1].observed(what) for what in late)


def _other_clip(evidence: Evidence) -> str | None:
    if evidence.first_stage not in _UPDATE:
        return None
    one, two = (run.clip_norm for run in evidence.runs)
    if one is None or two is None or close(one, two):
        return None
    first, second = (run.label for run in evidence.runs)
    return f"{first} scales gradients of a larger norm to {number(one)}, {second} to {number(two)}"


def _neither_clips_here(evidence: Evidence) -> bool:
    ours, theirs = (run.applied_norm(evidence.step) for run in evidence.runs)
    return ours is None or theirs is None or close(ours, theirs)


def _ratio_of_a_scaler(evidence: Evidence) -> bool:
    """Whether the two norms differ by a power of two, as a loss scaler's factor."""
    one, two = (run.clip_norm for run in evidence.runs)
    power = math.log2(one / two) if one and two else 0.0
    return abs(power) >= _SCALER and abs(power - round(power)) < 1e-3


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


def _only_some_differ(evidence: Evidence) -> bool:
    """Whether the processes differ in the gradients of some tensors only."""
    for run in evidence.runs:
        if not len(run.record.dissent):
            continue
        rows = run.record.dissent.to_pylist()
        step, rank = rows[0]["step"], rows[0]["rank"]
        differing = {
            row["tensor"]
            for row in rows
            if (row["step"], row["rank"]) == (step, rank) and row["gradient"] is not None
        }
        norms = norms_at(run.record, step, "gradient")
        return any(norm and name not in differing for name, norm in norms.items())
    return False


def _clips_nothing(evidence: Evidence) -> str | None:
    found = _only_one_clips(evidence)
    seen = found[1].observed("clipped_without_gradients") if found is not None else []
    if found is None or not seen:
        return None
    run, other, limit = found
    place = "before the backward pass" if seen[0] == 1 else "after its gradients are zeroed"
    return (
        f"{other.label} clips gradients {place}, where there are none; {run.label} clips them to a "
        f"norm of {number(limit)}"
    )


def _calls_in_vain(evidence: Evidence) -> bool:
    return any(run.observed("clipped_without_gradients") for run in evidence.runs)


BOTH_CALL = CounterEvidence(
    "both runs call a clip of torch, which need not act",
    "the setting `clip.kind`",
    lambda evidence: all(run.setting("clip.kind") for run in evidence.runs),
)
CLIPS_NOTHING = CounterEvidence(
    "the other run clips where there are no gradients",
    "`clipped_without_gradients`",
    _calls_in_vain,
)
CLIPS_LATE = CounterEvidence(
    "the other run changes its gradients after the update, so it may clip too late",
    "`gradients_changed_after_update`, `gradients_changed_before_zeroing`",
    _clips_late,
)
RULES = (
    CauseRule(
        "clip-per-micro-batch",
        "gradients are clipped before their window is complete",
        ("gradients", "grad_norm"),
        _clip_per_micro_batch,
        "clip once per update, after the last micro-batch (Accelerate: if sync_gradients)",
        "accelerate#641",
        excluded_by=(
            CounterEvidence(
                "both runs change gradients between the backward passes of an update",
                "`gradients_changed_between_backwards`",
                _both_change_between,
            ),
        ),
    ),
    CauseRule(
        "clip-before-unscale",
        "gradients are clipped before the loss scaler unscales them",
        ("grad_norm", *_UPDATE),
        _clip_before_unscale,
        "call scaler.unscale_(optimizer) before clipping",
        "accelerate#641",
        excluded_by=(
            CounterEvidence(
                "the losses of the two are not scaled by one power of two",
                "`loss_scaled`",
                _losses_not_scaled,
            ),
        ),
    ),
    CauseRule(
        "hidden-clip",
        "only one run updates with clipped gradients",
        _UPDATE,
        _hidden_clip,
        "in both runs clip to the same norm, between backward() and step(); the default of the "
        "Trainer is 1.0",
        needs_recipe=False,
        excluded_by=(CLIPS_LATE, CLIPS_NOTHING, BOTH_CALL, SAME_SCALE),
    ),
    CauseRule(
        "clip-without-gradients",
        "gradients are clipped where there are none",
        _UPDATE,
        _clips_nothing,
        "clip between backward() and step()",
        needs_recipe=False,
        excluded_by=(CLIPS_LATE, SAME_SCALE),
    ),
    CauseRule(
        "clip-norm-differs",
        "the two clip gradients to different norms",
        _UPDATE,
        _other_clip,
        "set the same max_grad_norm",
        needs_recipe=False,
        excluded_by=(
            CounterEvidence(
                "both updates at the first step that differs use gradients of one norm",
                "the norms of the gradients that the update used",
                _neither_clips_here,
            ),
            CounterEvidence(
                "the norms differ by a power of two, as if one run clipped scaled gradients",
                "the norms of the gradients that the update used",
                _ratio_of_a_scaler,
            ),
        ),
    ),
    CauseRule(
        "clip-after-step",
        "gradients are clipped after the update",
        _UPDATE,
        _clip_after_step,
        "clip between backward() and step()",
        needs_recipe=False,
        excluded_by=(SAME_SCALE,),
    ),
    CauseRule(
        "no-sync-misplaced",
        "the last backward pass before an update does not average over the processes",
        ("gradients",),
        _no_sync_misplaced,
        "use no_sync() for all micro-batches of a window except the last",
        needs_recipe=False,
        excluded_by=(
            CounterEvidence(
                "the processes differ in the gradients of some tensors only",
                "the trace `dissent`",
                _only_some_differ,
            ),
        ),
    ),
)
