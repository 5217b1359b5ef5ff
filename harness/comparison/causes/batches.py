"""Causes in what a batch holds, in which random numbers a pass draws, and in how it is run."""

from __future__ import annotations

import math

import numpy as np

from harness.comparison.batches import LOGGED
from harness.comparison.causes.cause import Row
from harness.comparison.causes.evidence import Facts
from harness.comparison.causes.run_view import Side
from harness.results.arrow import as_numpy, filled
from harness.results.levels import not_recorded

__all__ = ["ROWS"]


def _head_drawn(facts: Facts) -> str | None:
    place = facts.places.get("initial_weights")
    if place is None or "weights.dtype" in facts.settings:
        return None
    head = facts.reference.setting("model.head") or {}
    apart = facts.initial_weights_apart
    if not apart or not set(apart) <= set(head) or len(head) == facts.reference.parameters_named:
        return None
    for name in apart:
        one, two = (side.initial_norm(name) for side in facts.sides)
        # The norm of n normal numbers spreads by 1 / sqrt(2 n), the ratio of two by 1 / sqrt(n).
        if not one or not two or abs(math.log(two / one)) > 4 / math.sqrt(head[name]):
            return None
    others = f" and {len(apart) - 1} more" if len(apart) > 1 else ""
    return (
        f"of the initial weights only the head's differ ({apart[0]}{others}), and both sides drew "
        "them at random"
    )


def _padding(facts: Facts) -> str | None:
    place = facts.places.get("batch_content")
    if place is None or facts.resumed_at is not None or "batch_content" not in facts.own:
        return None
    shapes = [side.circumstance(place.step, "shape") for side in facts.sides]
    if not all(shapes) or shapes[0] == shapes[1]:
        return None
    widths = [shape[0][-1] for shape in shapes]
    return (
        f"the same rows are {widths[1]} tokens wide in {facts.candidate.label} and {widths[0]} in "
        f"{facts.reference.label} at step {place.step}"
    )


def _labels_shifted(facts: Facts) -> str | None:
    place = facts.places.get("batch_content")
    if place is None or "data_order" in facts.places:
        return None
    for side, other in facts.pairs:
        ours, theirs = (s.circumstance(place.step, "labels") for s in (side, other))
        rows = [len(ids) for _, _, ids in other.batches_at(place.step)]
        same_shape = side.circumstance(place.step, "shape") == other.circumstance(
            place.step, "shape"
        )
        shifts = other.circumstance(place.step, "targets") != theirs
        if (
            same_shape
            and shifts
            and theirs
            and ours == [count - n for count, n in zip(theirs, rows, strict=False)]
        ):
            return (
                f"the labels of {side.label} at step {place.step} are one fewer in each row than "
                f"those of {other.label}: they were shifted before the model shifts them"
            )
    return None


def _reseeded(facts: Facts) -> str | None:
    if facts.reference.world_size != facts.candidate.world_size or "rng" not in facts.places:
        return None
    if facts.places["rng"].step != 1 or any(s.record.header.resumed_from for s in facts.sides):
        return None
    if facts.parts_first_in not in ("rng", "data_order", "learning_rate", "config", "weights"):
        return None
    for side, other in facts.pairs:
        fresh, used = (s.setting("rng.draws_since_seed") for s in (side, other))
        seeds = side.setting("rng.seed"), other.setting("rng.seed")
        # What is fresh before its first batch is fetched, and not after, was used by the loader.
        used_before = other.setting("rng.draws_at_watch") is None
        same_seed = seeds[0] == seeds[1] and seeds[0] is not None
        if fresh is not None and used is None and used_before and same_seed:
            return (
                f"at the first forward pass the generator of {side.label} has given {fresh} "
                f"numbers since it was seeded with {seeds[0]}, that of {other.label} all that "
                "built the model"
            )
    return None


def _same_dropout(facts: Facts) -> str | None:
    size, place = facts.reference.world_size, facts.places.get("rng")
    if place is None or size < 2 or size != facts.candidate.world_size or place.step != 1:
        return None
    for side, other in facts.pairs:
        ours, theirs = (
            {s.generators_at(1).get((rank, 1)) for rank in range(size)} for s in (side, other)
        )
        if len(ours) == 1 and len(theirs) == size:
            return (
                f"all {size} processes of {side.label} draw the same dropout, those of "
                f"{other.label} each its own"
            )
    return None


def _prefetch(facts: Facts) -> str | None:
    if facts.parts_first_in != "rng" or facts.step != 1:
        return None
    for side, other in facts.pairs:
        given, usual = (s.setting("rng.draws_since_seed") for s in (side, other))
        draws = side.setting("collator.draws")
        if None in (given, usual, draws) or side.setting("loader.num_workers") != 0:
            continue
        ahead, rest = divmod(given - usual, draws) if draws else (0, 0)
        fetched = [s.setting("loader.fetched") for s in (side, other)]
        if ahead > 0 and not rest and None not in fetched and fetched[0] - fetched[1] == ahead:
            return (
                f"before the first forward pass of {side.label} {ahead} more "
                f"{'batch was' if ahead == 1 else 'batches were'} fetched than in {other.label}, "
                "by a collator that draws from the generator that dropout draws from"
            )
    return None


def _resume_at_epoch_end(facts: Facts) -> str | None:
    at = facts.resumed_at
    per_epoch = facts.reference.record.header.steps_per_epoch
    if at is None or not per_epoch or at % per_epoch or facts.parts_first_in != "rng":
        return None
    if facts.step != at + 1:
        return None
    return (
        f"the run resumed after step {at}, an epoch's end, begins step {facts.step} with other "
        "generators"
    )


def _forgot_train_mode(facts: Facts) -> str | None:
    for side, other in facts.pairs:
        seen = side.observed("trained_in_evaluation_mode")
        if seen and not other.observed("trained_in_evaluation_mode"):
            return f"{side.label} trains step {seen[0]} in evaluation mode, without dropout"
    return None


def _autocast(facts: Facts) -> str | None:
    if facts.parts_first_in not in ("loss", "gradients") or "weights.dtype" in facts.settings:
        return None
    for side, other in facts.pairs:
        asked = other.record.spec.case.recipe.precision
        ours, theirs = (set(s.circumstance(facts.step, "compute_dtype")) for s in (side, other))
        wanted = {"bf16": "bfloat16", "fp16": "float16"}.get(asked)
        if wanted and ours == {"float32"} and theirs == {wanted}:
            return f"{side.label} computes in float32 though {asked} was asked for"
    return None


def _wrong_loss_logged(facts: Facts) -> str | None:
    place = facts.places.get("loss")
    if place is None or place.detail != LOGGED:
        return None
    return (
        f"at step {place.step} {facts.candidate.label} shows a loss of {place.candidate:.6g} and "
        f"{facts.reference.label} {place.reference:.6g}, computed from equal values"
    )


def _not_finite(side: Side) -> list[int]:
    """Steps whose loss or gradients are not finite."""
    table = side.record.micro_batches
    losses = as_numpy(filled(table["loss"], math.nan))
    bad = set(as_numpy(table["step"])[~np.isfinite(losses)].tolist())
    if "grad_norm" not in not_recorded(side.record):
        bad |= set((np.flatnonzero(~np.isfinite(side.grad_norms)) + 1).tolist())
    return sorted(bad)


def _nan_hidden(facts: Facts) -> str | None:
    if facts.reference.record.spec.recipe.precision == "fp16":
        return None  # there a scaler leaves such updates out, which is as it should be
    for side, other in facts.pairs:
        bad = _not_finite(side)
        if not bad or bad[0] != facts.step or _not_finite(other):
            continue
        if len(side.grad_norms) > bad[0]:
            return (
                f"loss or gradients of {side.label} are not finite at step {bad[0]}, and it "
                f"trained on for {len(side.grad_norms) - bad[0]} steps"
            )
    return None


ROWS = (
    Row(
        "head-drawn-before-seed",
        "the head was drawn from another random number",
        ("initial_weights",),
        _head_drawn,
        "set the seed before the model is built",
    ),
    Row(
        "padding-differs",
        "the same rows, padded otherwise",
        ("batch_content",),
        _padding,
        "give both the same padding and max_length",
    ),
    Row(
        "labels-shifted-twice",
        "labels are shifted by the data and again by the model",
        ("batch_content", "loss"),
        _labels_shifted,
        "pass labels equal to input_ids; the model shifts them",
    ),
    Row(
        "resume-at-epoch-end",
        "a resume at an epoch's end puts the generators back too late, or too early",
        ("rng",),
        _resume_at_epoch_end,
        "at an epoch's end set the generators before the new epoch's iterator is made",
    ),
    Row(
        "same-dropout-on-all-ranks",
        "all processes draw the same dropout",
        ("rng",),
        _same_dropout,
        "seed each process by seed + rank",
    ),
    Row(
        "prefetch-interleaves-rng",
        "a loader that fetches ahead draws in another order",
        ("rng", "loss", "batch_content"),
        _prefetch,
        "let a worker fetch (num_workers=1), or give the collator a generator of its own",
    ),
    Row(
        "reseeded-after-build",
        "one side sets the seed again after the model is built",
        ("rng", "loss"),
        _reseeded,
        "set the seed on both sides once the model exists, as the Trainer does",
    ),
    Row(
        "forgot-train-mode",
        "the model is not in training mode",
        ("config", "loss", "rng"),
        _forgot_train_mode,
        "call model.train() before training, and again after each evaluation",
    ),
    Row(
        "autocast-without-effect",
        "autocast was asked for and is not on",
        ("loss",),
        _autocast,
        "run the forward pass inside torch.autocast with the device's type",
    ),
    Row(
        "wrong-loss-logged",
        "the loss that is shown is not the one that is trained on",
        ("loss",),
        _wrong_loss_logged,
        "log the mean of the window's losses, divided once",
        "transformers#35204",
    ),
    Row(
        "nan-step-hidden",
        "a step that is not finite passes unseen",
        ("loss", "gradients"),
        _nan_hidden,
        "stop at the first loss that is not finite; logging_nan_inf_filter=False shows it",
    ),
)
