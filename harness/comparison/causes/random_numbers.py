"""Causes in the random numbers that initialise the head, or that a forward pass draws."""

from __future__ import annotations

import math

from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence

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


RULES = (
    CauseRule(
        "head-drawn-before-seed",
        "the head was initialised from another state of the random generator",
        ("initial_weights",),
        _head_drawn,
        "set the seed before the model is built",
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
)
