"""Causes in the learning rates: one schedule, advanced in different ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import RESUMED, UPDATE_MISSING
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.units import number

__all__ = ["LEAST", "RULES", "follows", "moves", "rates_diverge"]

LEAST = 3
"""Steps needed to distinguish two ways of advancing a schedule."""
_ROUNDING = 1e-12  # relative; a schedule is a handful of operations in double precision


def rates_diverge(evidence: Evidence) -> bool:
    """Whether two schedules differ, each of one rate for all parameters that it updates."""
    return (
        "learning_rate" in evidence.independent
        and all(s.has_one_rate for s in evidence.runs)
        and all(len(s.rates) >= LEAST for s in evidence.runs)
    )


def follows(rates: Sequence[float], other: Sequence[float], place: Callable[[int], int]) -> bool:
    """Whether `rates[n]` equals `other[place(n)]` for each n with a place inside `other`.

    At least `LEAST` places must lie inside `other`.
    """
    known = [(rates[n], other[place(n)]) for n in range(len(rates)) if 0 <= place(n) < len(other)]
    return len(known) >= LEAST and all(
        math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-15) for one, two in known
    )


def moves(run: RunView) -> bool:
    return max(run.rates) > min(run.rates)


def _never_steps(evidence: Evidence) -> str | None:
    if not rates_diverge(evidence):
        return None
    for run, other in evidence.ordered_pairs:
        if moves(run) or not moves(other):
            continue
        if run.rates[0] in (other.rates[0], max(other.rates)):
            return (
                f"the learning rate of {run.label} is {number(run.rates[0])} at each step; that of "
                f"{other.label} goes from {number(other.rates[0])} to {number(other.rates[-1])}"
            )
    return None


def _has_no_falling_schedule(evidence: Evidence) -> bool:
    """Whether the run with one rate has no schedule that would change it, as far as is known."""
    for run, other in evidence.ordered_pairs:
        if not moves(run) and moves(other):
            planned = (run.setting("schedule") or {}).get("at", {}).values()
            return not planned or max(planned) == min(planned)
    return False


def _off_by_one(evidence: Evidence) -> str | None:
    if not rates_diverge(evidence):
        return None
    one, two = evidence.reference.rates, evidence.candidate.rates
    if not (moves(evidence.reference) and moves(evidence.candidate)):
        return None
    for shift, when in ((1, "later"), (-1, "earlier")):
        if follows(two, one, lambda n, shift=shift: n + shift):  # type: ignore[misc]  # bound at once
            return (
                f"each step of {evidence.candidate.label} uses the learning rate that "
                f"{evidence.reference.label} uses one step {when}"
            )
    return None


def _skip_unseen(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("learning_rate")
    recipe = evidence.reference.record.run_spec.recipe
    if place is None or recipe.precision != "fp16" or not rates_diverge(evidence):
        return None
    overflows = [
        step
        for step, norm in enumerate(evidence.reference.grad_norms, start=1)
        if not math.isfinite(norm) and step < place.step
    ]
    if not overflows or overflows[-1] != place.step - 1:
        return None
    for run, other in evidence.ordered_pairs:
        if math.isclose(other.rates[place.step - 1], other.rates[place.step - 2], rel_tol=1e-9):
            return (
                f"the gradients of step {overflows[-1]} overflowed and its update was skipped; "
                f"the schedule of {run.label} advanced nevertheless"
            )
    return None


def _rounding(evidence: Evidence) -> str | None:
    """The rates of every step are equal but for the last digits of double precision."""
    place = evidence.firsts.get("learning_rate")
    one, two = evidence.reference.rates, evidence.candidate.rates
    if not rates_diverge(evidence) or place is None or len(one) != len(two):
        return None
    if not all(
        math.isclose(ours, theirs, rel_tol=_ROUNDING, abs_tol=1e-18)
        for ours, theirs in zip(one, two, strict=True)
    ):
        return None
    pair = one[place.step - 1], two[place.step - 1]
    return (
        f"at step {place.step} the learning rate is {pair[1]!r} in {evidence.candidate.label} and "
        f"{pair[0]!r} in {evidence.reference.label}; no step differs by more than rounding"
    )


def _other_rates(evidence: Evidence) -> bool:
    return "optimizer.learning_rate" in evidence.settings


RULES = (
    CauseRule(
        "schedule-rounding",
        "the same schedule is computed in another order of operations",
        ("learning_rate",),
        _rounding,
        "compute the rate in both by the same expression, such as that of "
        "transformers.get_scheduler",
        needs_recipe=False,
        excluded_by=(
            CounterEvidence(
                "the optimizers begin with other learning rates",
                "the setting `optimizer.learning_rate`",
                _other_rates,
            ),
        ),
    ),
    CauseRule(
        "fp16-skip-unseen",
        "the schedule advances although the update was skipped",
        ("learning_rate",),
        _skip_unseen,
        "advance the schedule only after an update that was made; with fp16 use an optimizer that "
        "is not fused",
        "accelerate#4242",
        excluded_by=(UPDATE_MISSING,),
    ),
    CauseRule(
        "schedule-never-steps",
        "the schedule never advances",
        ("learning_rate",),
        _never_steps,
        "call scheduler.step() after each update",
        excluded_by=(
            CounterEvidence(
                "the run has no schedule, or one that is constant by design",
                "the setting `schedule`: the rates that its scheduler would set",
                _has_no_falling_schedule,
            ),
        ),
    ),
    CauseRule(
        "schedule-off-by-one",
        "the schedule is one step ahead or behind",
        ("learning_rate",),
        _off_by_one,
        "call scheduler.step() once, after optimizer.step()",
        needs_recipe=False,
        excluded_by=(UPDATE_MISSING, RESUMED),
    ),
)
