"""Causes in a resume: what the continued run does not put back, or puts back at the wrong time.

Exactly one of the two runs was resumed, and the first difference is in the step after it.
"""

from __future__ import annotations

from harness.comparison.causes.cause import CauseRule, CounterEvidence, OneOf
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.learning_rate import LEAST, follows, moves
from harness.comparison.causes.run_view import RunView

__all__ = ["RULES"]

# A scheduler that is restored does not set the rate before its next step; the optimizer holds it.
_OPTIMIZER = ("learning_rate", "weights", "optimizer_state")


def _continues(evidence: Evidence) -> int | None:
    """The step of the checkpoint, if the first difference is in the step after it."""
    at = evidence.resumed_at
    return at if at is not None and evidence.step == at + 1 else None


def _resumed_run(evidence: Evidence) -> RunView:
    return next(run for run in evidence.runs if run.record.header.resumed_from)


def _reorders(evidence: Evidence) -> str | None:
    at = _continues(evidence)
    if at is None or evidence.first_stage not in ("data_order", "batch_content"):
        return None
    what = "other rows" if evidence.first_stage == "data_order" else "other batch content"
    return f"the run that was resumed after step {at} continues with {what} at step {at + 1}"


def _other_generators(evidence: Evidence) -> OneOf | None:
    at = _continues(evidence)
    if at is None or evidence.first_stage != "rng":
        return None
    per_epoch = evidence.reference.record.header.steps_per_epoch
    ends_epoch = bool(per_epoch) and at % (per_epoch or 1) == 0
    where = f"step {at}, the end of an epoch," if ends_epoch else f"step {at}"
    return OneOf(
        f"the run that was resumed after {where} begins step {at + 1} with another state of the "
        "random generators",
        (
            "the resume does not restore the generators",
            "it restores them before the loader of the batches draws from them",
            "it restores them after numbers were drawn that the other run draws later",
        ),
    )


def _without_optimizer(evidence: Evidence) -> str | None:
    at = _continues(evidence)
    if at is None or evidence.first_stage not in _OPTIMIZER:
        return None
    run = _resumed_run(evidence)
    if at + 1 not in run.observed("optimizer_without_state"):
        return None
    return (
        f"the run that was resumed after step {at} makes update {at + 1} with an optimizer that "
        "has no state"
    )


def _without_schedule(evidence: Evidence) -> str | None:
    at = _continues(evidence)
    if at is None or evidence.first_stage != "learning_rate":
        return None
    run = _resumed_run(evidence)
    other = evidence.reference if run is evidence.candidate else evidence.candidate
    after = run.rates[at:]
    if len(after) < LEAST or not moves(other):
        return None
    if not follows(after, other.rates, lambda n: n):
        return None
    return (
        f"the run that was resumed after step {at} uses from step {at + 1} on the learning rates "
        "that its schedule has from step 1 on"
    )


def _other_loader(evidence: Evidence) -> bool:
    names = ("loader.batch_size", "loader.sampler", "loader.drop_last", "rng.seed")
    return any(name in evidence.settings for name in names)


def _state_is_empty_in_both(evidence: Evidence) -> bool:
    seen = [evidence.step in run.observed("optimizer_without_state") for run in evidence.runs]
    return all(seen)


def _other_schedule(evidence: Evidence) -> bool:
    return "schedule" in evidence.settings


RULES = (
    CauseRule(
        "resume-reorders",
        "a resume shuffles again, skips other batches than were done, or repeats random draws",
        ("data_order", "batch_content"),
        _reorders,
        "save the generators at the start of the epoch, draw its order again, skip the batches "
        "that were done, and restore the generators of the checkpoint",
        "accelerate#2016, transformers#46628",
        excluded_by=(
            CounterEvidence(
                "the loaders or seeds of the two differ",
                "the settings `loader.*` and `rng.seed`",
                _other_loader,
            ),
        ),
    ),
    CauseRule(
        "resume-generators",
        "after the resume the random generators have another state",
        ("rng",),
        _other_generators,
        "in mid-epoch restore the generators after the first batch is fetched; at the end of an "
        "epoch before the new epoch's iterator is made",
        excluded_by=(
            CounterEvidence(
                "the loaders or seeds of the two differ",
                "the settings `loader.*` and `rng.seed`",
                _other_loader,
            ),
        ),
    ),
    CauseRule(
        "resume-without-optimizer",
        "the optimizer's state is not put back by the resume",
        _OPTIMIZER,
        _without_optimizer,
        "save optimizer.state_dict() with each checkpoint, and load it before the next update",
        excluded_by=(
            CounterEvidence(
                "the optimizers of both runs have no state there",
                "`optimizer_without_state`",
                _state_is_empty_in_both,
            ),
        ),
    ),
    CauseRule(
        "resume-without-schedule",
        "the schedule begins again after the resume",
        ("learning_rate",),
        _without_schedule,
        "save scheduler.state_dict() with each checkpoint, and load it before the next update",
        excluded_by=(
            CounterEvidence(
                "the two have other schedules", "the setting `schedule`", _other_schedule
            ),
        ),
    ),
)
