"""Causes in the random numbers that initialise the head, or that a forward pass draws."""

from __future__ import annotations

import math

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import OTHER_SEED, RESUMED
from harness.comparison.causes.evidence import Evidence

__all__ = ["RULES"]

_WITH_OTHER_NUMBERS = ("rng", "data_order", "learning_rate", "config", "weights")


def _head_drawn(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("initial_weights")
    head = evidence.reference.setting("model.head") or {}
    differing = evidence.differing_initial_weights
    if place is None or not differing or not set(differing) <= set(head):
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
    place = evidence.firsts.get("rng")
    if place is None or place.step != 1 or evidence.first_stage not in _WITH_OTHER_NUMBERS:
        return None
    if evidence.reference.world_size != evidence.candidate.world_size:
        return None
    for run, other in evidence.ordered_pairs:
        fresh, used = (s.setting("rng.draws_since_seed") for s in (run, other))
        # A generator that is fresh only until the first batch is fetched was used by the loader.
        used_before = other.setting("rng.draws_at_watch") is None
        if fresh is not None and used is None and used_before and run.setting("rng.seed"):
            return (
                f"at the first forward pass the generator of {run.label} has drawn {_count(fresh)} "
                f"since it was seeded with {run.setting('rng.seed')}; that of {other.label} has "
                "also drawn the numbers that built the model"
            )
    return None


def _seeded_before_its_loop(evidence: Evidence) -> bool:
    """Whether the generator of each run was seeded after its model was built.

    Then a generator that has drawn many numbers has drawn them for something else.
    """
    return all(run.record.run_spec.recipe.reseed_after_build for run in evidence.runs)


def _drawn_before_training(evidence: Evidence) -> str | None:
    """The loop draws numbers between its start, where its generator is fresh, and its training."""
    place = evidence.firsts.get("rng")
    if place is None or place.step != 1 or evidence.step != 1:
        return None
    if evidence.reference.world_size != evidence.candidate.world_size:
        return None
    if not all(run.record.header.settings for run in evidence.runs):
        return None
    draws = [run.setting("rng.draws_at_watch") for run in evidence.runs]
    if draws[0] == draws[1]:
        return None
    more = int(draws[1] is None or (draws[0] is not None and draws[1] > draws[0]))
    return (
        f"before its training {evidence.runs[more].label} has drawn {_count(draws[more])} from its "
        f"generator, which was seeded after the model was built; {evidence.runs[1 - more].label} "
        f"has drawn {_count(draws[1 - more])}"
    )


def _not_seeded_after_building(evidence: Evidence) -> bool:
    return not _seeded_before_its_loop(evidence)


def _caught_up(evidence: Evidence) -> bool:
    """Whether the first forward passes are further apart, or closer, than the trainings began.

    Then the loops hand over their optimizers at other moments, and draw the same numbers.
    """
    draws = [run.setting("rng.draws_at_watch") for run in evidence.runs]
    passes = [run.setting("rng.draws_since_seed") for run in evidence.runs]
    if None in (*draws, *passes):
        return False
    return bool(passes[1] - passes[0] != draws[1] - draws[0])


def _count(draws: int | None) -> str:
    if draws is None:
        return "64 numbers or more"
    return "1 number" if draws == 1 else f"{draws} numbers" if draws else "no number"


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


def _other_draws_before(evidence: Evidence) -> bool:
    """Whether one run has drawn more numbers than the other before its training."""
    one, two = (run.setting("rng.draws_at_watch") for run in evidence.runs)
    return bool(one != two) and not _caught_up(evidence)


def _unknown_head(evidence: Evidence) -> bool:
    """Whether weights outside the head differ too, or the head is the whole model."""
    head = evidence.reference.setting("model.head") or {}
    return len(head) == evidence.reference.parameters_named or not set(
        evidence.differing_initial_weights
    ) <= set(head)


def _other_types(evidence: Evidence) -> bool:
    return "weights.dtype" in evidence.settings


RULES = (
    CauseRule(
        "head-drawn-before-seed",
        "the head was initialised from another state of the random generator",
        ("initial_weights",),
        _head_drawn,
        "set the seed before the model is built",
        excluded_by=(
            CounterEvidence(
                "the weights have other types", "the setting `weights.dtype`", _other_types
            ),
            CounterEvidence(
                "weights outside the head differ too, or the model has no body",
                "the initial weights, the setting `model.head`",
                _unknown_head,
            ),
        ),
    ),
    CauseRule(
        "same-dropout-on-all-ranks",
        "all processes draw the same dropout",
        ("rng",),
        _same_dropout,
        "seed each process with seed + rank",
        excluded_by=(RESUMED,),
    ),
    CauseRule(
        "prefetch-interleaves-rng",
        "a loader that prefetches draws random numbers in another order",
        ("rng", "loss", "batch_content"),
        _prefetch,
        "fetch in a worker (num_workers=1), or give the collator its own generator",
        excluded_by=(
            OTHER_SEED,
            CounterEvidence(
                "numbers were drawn before the training on one side",
                "`rng.draws_at_watch`",
                _other_draws_before,
            ),
        ),
    ),
    CauseRule(
        "reseeded-after-build",
        "one run sets the seed again after the model is built",
        ("rng", "loss"),
        _reseeded,
        "in both runs set the seed after the model is built, as the Trainer does",
        excluded_by=(
            OTHER_SEED,
            RESUMED,
            CounterEvidence(
                "the generator was seeded after the model was built, so the loop drew the numbers",
                "the recipe: `reseed_after_build`",
                _seeded_before_its_loop,
            ),
        ),
    ),
    CauseRule(
        "numbers-drawn-before-training",
        "random numbers are drawn before the training begins",
        ("data_order", "batch_content", "rng", "loss"),
        _drawn_before_training,
        "draw from a separate generator, or restore the state of the global one afterwards",
        excluded_by=(
            OTHER_SEED,
            RESUMED,
            CounterEvidence(
                "the generator was not seeded after the model was built",
                "the recipe: `reseed_after_build`",
                _not_seeded_after_building,
            ),
            CounterEvidence(
                "the first forward passes are not as many numbers apart",
                "`rng.draws_at_watch`, `rng.draws_since_seed`",
                _caught_up,
            ),
        ),
    ),
)
