"""Causes in batch content, in random numbers, and in the mode of a forward pass."""

from __future__ import annotations

import math

import numpy as np

from harness.comparison.batches import LOGGED
from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.results.arrow import as_numpy, filled
from harness.results.levels import not_recorded

__all__ = ["RULES"]


def _head_drawn(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("initial_weights")
    if place is None or "weights.dtype" in evidence.settings:
        return None
    head = evidence.reference.setting("model.head") or {}
    differing = evidence.differing_initial_weights
    if (
        not differing
        or not set(differing) <= set(head)
        or len(head) == evidence.reference.parameters_named
    ):
        return None
    for name in differing:
        one, two = (run.initial_norm(name) for run in evidence.runs)
        # The norm of n normal numbers has the relative deviation 1 / sqrt(2 n), a ratio of two
        # such norms 1 / sqrt(n).
        if not one or not two or abs(math.log(two / one)) > 4 / math.sqrt(head[name]):
            return None
    others = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return (
        f"only initial weights of the head differ ({differing[0]}{others}); both runs drew them at "
        "random"
    )


def _padding(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("batch_content")
    if (
        place is None
        or evidence.resumed_at is not None
        or "batch_content" not in evidence.independent
    ):
        return None
    shapes = [run.circumstance(place.step, "shape") for run in evidence.runs]
    if not all(shapes) or shapes[0] == shapes[1]:
        return None
    widths = [shape[0][-1] for shape in shapes]
    return (
        f"at step {place.step} the same rows are {widths[1]} tokens wide in "
        f"{evidence.candidate.label} and {widths[0]} tokens wide in {evidence.reference.label}"
    )


def _labels_shifted(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("batch_content")
    if place is None or "data_order" in evidence.firsts:
        return None
    for run, other in evidence.ordered_pairs:
        ours, theirs = (s.circumstance(place.step, "labels") for s in (run, other))
        rows = [len(ids) for _, _, ids in other.batches_at(place.step)]
        same_shape = run.circumstance(place.step, "shape") == other.circumstance(
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
                f"at step {place.step} each row has one label fewer in {run.label} than in "
                f"{other.label}: the labels were shifted before the model shifts them"
            )
    return None


def _reseeded(evidence: Evidence) -> str | None:
    if (
        evidence.reference.world_size != evidence.candidate.world_size
        or "rng" not in evidence.firsts
    ):
        return None
    if evidence.firsts["rng"].step != 1 or any(s.record.header.resumed_from for s in evidence.runs):
        return None
    if evidence.first_stage not in ("rng", "data_order", "learning_rate", "config", "weights"):
        return None
    for run, other in evidence.ordered_pairs:
        fresh, used = (s.setting("rng.draws_since_seed") for s in (run, other))
        seeds = run.setting("rng.seed"), other.setting("rng.seed")
        # A generator that is fresh only until the first batch is fetched was used by the loader.
        used_before = other.setting("rng.draws_at_watch") is None
        same_seed = seeds[0] == seeds[1] and seeds[0] is not None
        if fresh is not None and used is None and used_before and same_seed:
            return (
                f"at the first forward pass the generator of {run.label} has drawn {fresh} "
                f"{'number' if fresh == 1 else 'numbers'} since it was seeded with {seeds[0]}; "
                f"that of {other.label} has also drawn the numbers that built the model"
            )
    return None


def _same_dropout(evidence: Evidence) -> str | None:
    size, place = evidence.reference.world_size, evidence.firsts.get("rng")
    if place is None or size < 2 or size != evidence.candidate.world_size or place.step != 1:
        return None
    for run, other in evidence.ordered_pairs:
        ours, theirs = (
            {s.generators_at(1).get((rank, 1)) for rank in range(size)} for s in (run, other)
        )
        if len(ours) == 1 and len(theirs) == size:
            return (
                f"all {size} processes of {run.label} draw the same dropout; in {other.label} each "
                "process draws its own"
            )
    return None


def _prefetch(evidence: Evidence) -> str | None:
    if evidence.first_stage != "rng" or evidence.step != 1:
        return None
    for run, other in evidence.ordered_pairs:
        given, usual = (s.setting("rng.draws_since_seed") for s in (run, other))
        draws = run.setting("collator.draws")
        if None in (given, usual, draws) or run.setting("loader.num_workers") != 0:
            continue
        ahead, rest = divmod(given - usual, draws) if draws else (0, 0)
        fetched = [s.setting("loader.fetched") for s in (run, other)]
        if ahead > 0 and not rest and None not in fetched and fetched[0] - fetched[1] == ahead:
            return (
                f"{run.label} fetched {ahead} {'batch' if ahead == 1 else 'batches'} more than "
                f"{other.label} before the first forward pass, and its collator draws from the "
                "generator of the dropout"
            )
    return None


def _resume_at_epoch_end(evidence: Evidence) -> str | None:
    at = evidence.resumed_at
    per_epoch = evidence.reference.record.header.steps_per_epoch
    if at is None or not per_epoch or at % per_epoch or evidence.first_stage != "rng":
        return None
    if evidence.step != at + 1:
        return None
    return (
        f"the run that was resumed after step {at}, the end of an epoch, begins step "
        f"{evidence.step} with another state of the random generators"
    )


def _forgot_train_mode(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        seen = run.observed("trained_in_evaluation_mode")
        if seen and not other.observed("trained_in_evaluation_mode"):
            return f"{run.label} runs step {seen[0]} in evaluation mode, without dropout"
    return None


def _autocast(evidence: Evidence) -> str | None:
    if evidence.first_stage not in ("loss", "gradients") or "weights.dtype" in evidence.settings:
        return None
    for run, other in evidence.ordered_pairs:
        asked = other.record.spec.case.recipe.precision
        ours, theirs = (set(s.circumstance(evidence.step, "compute_dtype")) for s in (run, other))
        wanted = {"bf16": "bfloat16", "fp16": "float16"}.get(asked)
        if wanted and ours == {"float32"} and theirs == {wanted}:
            return f"{run.label} computes in float32, but the recipe asks for {asked}"
    return None


def _wrong_loss_logged(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("loss")
    if place is None or place.detail != LOGGED:
        return None
    return (
        f"at step {place.step} {evidence.candidate.label} logs a loss of {place.candidate:.6g} and "
        f"{evidence.reference.label} one of {place.reference:.6g}, computed from equal values"
    )


def _not_finite(run: RunView) -> list[int]:
    """Steps with a loss or gradient norm that is not finite."""
    table = run.record.micro_batches
    losses = as_numpy(filled(table["loss"], math.nan))
    bad = set(as_numpy(table["step"])[~np.isfinite(losses)].tolist())
    if "grad_norm" not in not_recorded(run.record):
        bad |= set((np.flatnonzero(~np.isfinite(run.grad_norms)) + 1).tolist())
    return sorted(bad)


def _nan_hidden(evidence: Evidence) -> str | None:
    if evidence.reference.record.spec.recipe.precision == "fp16":
        return None  # a loss scaler skips such updates on purpose
    for run, other in evidence.ordered_pairs:
        bad = _not_finite(run)
        if not bad or bad[0] != evidence.step or _not_finite(other):
            continue
        if len(run.grad_norms) > bad[0]:
            return (
                f"the loss or the gradients of {run.label} are not finite at step {bad[0]}, and it "
                f"trained until step {len(run.grad_norms)}"
            )
    return None


RULES = (
    CauseRule(
        "head-drawn-before-seed",
        "the head was initialised from another state of the random generator",
        ("initial_weights",),
        _head_drawn,
        "set the seed before the model is built",
    ),
    CauseRule(
        "padding-differs",
        "the same rows have different padding",
        ("batch_content",),
        _padding,
        "use the same padding and max_length in both",
    ),
    CauseRule(
        "labels-shifted-twice",
        "labels are shifted by the data and again by the model",
        ("batch_content", "loss"),
        _labels_shifted,
        "pass labels equal to input_ids; the model shifts them",
    ),
    CauseRule(
        "resume-at-epoch-end",
        "a resume at the end of an epoch restores the random generators too late or too early",
        ("rng",),
        _resume_at_epoch_end,
        "at the end of an epoch restore the generators before the new epoch's iterator is made",
    ),
    CauseRule(
        "same-dropout-on-all-ranks",
        "all processes draw the same dropout",
        ("rng",),
        _same_dropout,
        "seed each process with seed + rank",
    ),
    CauseRule(
        "prefetch-interleaves-rng",
        "a loader that prefetches draws random numbers in another order",
        ("rng", "loss", "batch_content"),
        _prefetch,
        "fetch in a worker (num_workers=1), or give the collator its own generator",
    ),
    CauseRule(
        "reseeded-after-build",
        "one run sets the seed again after the model is built",
        ("rng", "loss"),
        _reseeded,
        "in both runs set the seed after the model is built, as the Trainer does",
    ),
    CauseRule(
        "forgot-train-mode",
        "the model is not in training mode",
        ("config", "loss", "rng"),
        _forgot_train_mode,
        "call model.train() before training, and again after each evaluation",
    ),
    CauseRule(
        "autocast-without-effect",
        "autocast was requested and is not active",
        ("loss",),
        _autocast,
        "run the forward pass inside torch.autocast with the type of the device",
    ),
    CauseRule(
        "wrong-loss-logged",
        "the logged loss is not the loss that is trained on",
        ("loss",),
        _wrong_loss_logged,
        "log the mean of the losses of the window, divided once",
        "transformers#35204",
    ),
    CauseRule(
        "nan-step-hidden",
        "training continues after a step that is not finite",
        ("loss", "gradients"),
        _nan_hidden,
        "stop at the first loss that is not finite; logging_nan_inf_filter=False shows it",
    ),
)
