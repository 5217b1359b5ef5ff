"""Causes in how the gradients of an update come about, or are changed before it."""

from __future__ import annotations

import math

from harness.comparison.causes.cause import Row
from harness.comparison.causes.evidence import Facts
from harness.comparison.causes.run_view import Side, close
from harness.units import number

__all__ = ["ROWS"]

_UPDATE = ("weights", "optimizer_state")


def _is(factor: float, expected: float) -> bool:
    """Whether it is that factor, whichever side it stands on."""
    return close(factor, expected) or close(factor, 1 / expected)


def _larger(facts: Facts, factor: float) -> Side | None:
    """The side with the larger gradients, where its loss is what is larger than it should be."""
    side = facts.candidate if factor > 1 else facts.reference
    return None if facts.tells_loss_factors and facts.scaled_side(factor) is not side else side


def _unaveraged(facts: Facts) -> Side | None:
    """The side whose loss is the sum of the window's, where the other's is their mean."""
    factor = facts.first_factor
    window = facts.reference.window(facts.step)
    if factor is None or window < 2 or window != facts.candidate.window(facts.step):
        return None
    if window < facts.reference.record.spec.recipe.gradient_accumulation_steps:
        return None  # an epoch's short window has a row of its own
    size = facts.reference.world_size
    if _is(factor, window) and window != size:
        return _larger(facts, factor)
    return _larger(facts, factor) if size > 1 and _is(factor, window * size) else None


def _accumulation_not_averaged(facts: Facts) -> str | None:
    side = _unaveraged(facts)
    if side is None or not side.setting("trainer.leaves_average_to_model"):
        return None
    window = side.window(facts.step)
    return (
        f"gradients of {side.label} are {number(facts.gradient_factor or 0)} times the reference's "
        f"at step {facts.step}, a window of {window} micro-batches: its Trainer leaves the average "
        "to a model that does not take it"
    )


def _loss_not_divided(facts: Facts) -> str | None:
    side = _unaveraged(facts)
    if side is None or side.setting("trainer.leaves_average_to_model"):
        return None
    return (
        f"gradients differ by the factor {number(facts.gradient_factor or 0)} at step "
        f"{facts.step}: {side.label} adds up the losses of {side.window(facts.step)} "
        "micro-batches, undivided"
    )


def _loss_times_world_size(facts: Facts) -> str | None:
    factor, size = facts.first_factor, facts.reference.world_size
    if factor is None or size < 2 or size != facts.candidate.world_size:
        return None
    window = facts.reference.window(facts.step)
    if not (_is(factor, size) and window != size) and not (
        window > 1 and _is(factor, window * size)
    ):
        return None
    side = _larger(facts, factor)
    if side is None:
        return None
    return (
        f"gradients differ by the factor {number(factor)}: {side.label} multiplies its loss by the "
        f"{size} processes"
    )


def _unshifted_label_count(facts: Facts) -> str | None:
    factor = facts.first_factor
    if factor is None:
        return None
    labels, targets = (
        sum(facts.reference.circumstance(facts.step, column)) for column in ("labels", "targets")
    )
    if not targets or targets == labels or not _is(factor, targets / labels):
        return None
    if not close(max(factor, 1 / factor) - 1, labels / targets - 1, 0.02):
        return None
    side = facts.candidate if factor < 1 else facts.reference
    if facts.tells_loss_factors and facts.scaled_side(factor) is not side:
        return None
    return (
        f"gradients differ by the factor {number(factor, 6)}: {side.label} divides its loss by all "
        f"{labels} labels, of which {targets} are predicted"
    )


def _clip_per_micro_batch(facts: Facts) -> str | None:
    if facts.parts_first_in != "gradients":
        return None
    for side, other in facts.pairs:
        norms = side.values_observed("gradients_changed_between_backwards")
        limit = side.record.spec.recipe.max_grad_norm or other.clip
        if not norms or other.observed("gradients_changed_between_backwards") or not limit:
            continue
        if max(norms) <= 1.001 * limit and any(close(norm, limit) for norm in norms):
            return (
                f"{side.label} scales its gradients to a norm of {number(limit)} after a "
                f"micro-batch of step {facts.step}, before its window is whole"
            )
    return None


def _clip_before_unscale(facts: Facts) -> str | None:
    """Both scale their losses alike; one clips what is still scaled up, and then scales it down."""
    if facts.parts_first_in != "weights":
        return None
    for side, other in facts.pairs:
        limit = other.record.spec.recipe.max_grad_norm
        small, right = side.applied_norm(facts.step), other.applied_norm(facts.step)
        raw = other.grad_norms[facts.step - 1]
        if not limit or not small or not right:
            continue
        power = math.log2(limit / small)
        scale = 2.0 ** round(power)
        if power < 1 or abs(power - round(power)) > 1e-3:
            continue
        if not all(close(each.loss_factor(facts.step), scale) for each in (side, other)):
            continue  # nothing was scaled up by that
        if close(right, min(limit, raw / scale)):
            return (
                f"the update at step {facts.step} is given gradients of norm {number(small)} in "
                f"{side.label} and {number(right)} in {other.label}: clipped to {number(limit)} "
                f"while they were scaled up by {number(scale)}, and scaled down after"
            )
    return None


def _clips_alone(facts: Facts) -> tuple[Side, Side, float] | None:
    """The side that clips, the one that never touches its gradients, and the norm."""
    for side, other in facts.pairs:
        limit = side.clip
        if limit is None or other.scales_gradients:
            continue
        if any(norm > limit * 1.001 for norm in other.grad_norms):
            return side, other, limit
    return None


def _hidden_clip(facts: Facts) -> str | None:
    found = _clips_alone(facts)
    if found is None:
        return None
    side, other, limit = found
    for late in ("gradients_changed_after_update", "gradients_changed_before_zeroing"):
        if other.observed(late):  # maybe it clips, though too late
            return None
    return (
        f"{side.label} scales gradients down to a norm of {number(limit)}, {other.label} takes "
        f"them as they are, up to {number(max(other.grad_norms))}"
    )


def _clip_after_step(facts: Facts) -> str | None:
    found = _clips_alone(facts)
    if found is None or not found[1].observed("gradients_changed_after_update"):
        return None
    side, other, limit = found
    return (
        f"{other.label} changes its gradients after the update instead of before it, where "
        f"{side.label} scales them down to a norm of {number(limit)}"
    )


def _no_sync_misplaced(facts: Facts) -> str | None:
    for side, other in facts.pairs:
        dissent = side.record.dissent
        if not len(dissent) or len(other.record.dissent):
            continue
        step, gradient = dissent["step"][0].as_py(), dissent["gradient"][0].as_py()
        if gradient is not None:
            return (
                f"the processes of {side.label} make their update at step {step} from different "
                "gradients: those of the last backward pass before it are not averaged"
            )
    return None


ROWS = (
    Row(
        "accumulation-not-averaged",
        "the Trainer leaves the average over a window to a model that does not take it",
        ("gradients",),
        _accumulation_not_averaged,
        "set model.accepts_loss_kwargs = False before the Trainer is built",
        "transformers#47688",
    ),
    Row(
        "loss-times-world-size",
        "the loss is multiplied by the number of processes",
        ("loss", "gradients"),
        _loss_times_world_size,
        "pass average_tokens_across_devices=False, or set model.accepts_loss_kwargs = False",
        "transformers#39395",
    ),
    Row(
        "loss-not-divided",
        "the losses of a window are added up, not averaged",
        ("gradients",),
        _loss_not_divided,
        "divide each loss by the number of micro-batches in its window",
    ),
    Row(
        "unshifted-label-count",
        "the loss is divided by labels of which some are never predicted",
        ("gradients",),
        _unshifted_label_count,
        "count the labels after they are shifted",
        "transformers#46204",
    ),
    Row(
        "clip-per-micro-batch",
        "gradients are clipped before their window is whole",
        ("gradients", "grad_norm"),
        _clip_per_micro_batch,
        "clip once an update, after the last micro-batch (Accelerate: if sync_gradients)",
        "accelerate#641",
    ),
    Row(
        "clip-before-unscale",
        "gradients are clipped while the loss scaler's factor is in them",
        ("grad_norm", *_UPDATE),
        _clip_before_unscale,
        "call scaler.unscale_(optimizer) before clipping",
        "accelerate#641",
    ),
    Row(
        "hidden-clip",
        "one side clips gradients",
        _UPDATE,
        _hidden_clip,
        "set max_grad_norm alike; the Trainer clips at 1.0 unless told otherwise",
    ),
    Row(
        "clip-after-step",
        "gradients are clipped after the update",
        _UPDATE,
        _clip_after_step,
        "clip between backward() and step()",
    ),
    Row(
        "no-sync-misplaced",
        "the last backward pass before an update does not average over the processes",
        ("gradients",),
        _no_sync_misplaced,
        "enter no_sync() for all micro-batches of a window but the last",
    ),
)
