"""Causes in the learning rates: the same schedule, walked otherwise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.units import number

__all__ = ["RULES"]

_LEAST = 3  # steps that tell one way of walking a schedule from another


def _rates_diverge(evidence: Evidence) -> bool:
    return "learning_rate" in evidence.independent and all(
        len(s.rates) >= _LEAST for s in evidence.runs
    )


def _follows(rates: Sequence[float], other: Sequence[float], place: Callable[[int], int]) -> bool:
    """Whether each rate is the other side's at another place; where that is known.

    At places behind the other's end nothing is known, and at least `_LEAST` must be.
    """
    known = [(rates[n], other[place(n)]) for n in range(len(rates)) if 0 <= place(n) < len(other)]
    return len(known) >= _LEAST and all(
        math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-15) for one, two in known
    )


def _moves(run: RunView) -> bool:
    return max(run.rates) > min(run.rates)


def _never_steps(evidence: Evidence) -> str | None:
    if not _rates_diverge(evidence):
        return None
    for run, other in evidence.ordered_pairs:
        if _moves(run) or not _moves(other) or run.record.spec.recipe.lr_schedule == "constant":
            continue
        if run.rates[0] in (other.rates[0], max(other.rates)):
            return (
                f"the learning rate of {run.label} is {number(run.rates[0])} at each step, that "
                f"of {other.label} goes from {number(other.rates[0])} to {number(other.rates[-1])}"
            )
    return None


def _off_by_one(evidence: Evidence) -> str | None:
    if not _rates_diverge(evidence):
        return None
    one, two = evidence.reference.rates, evidence.candidate.rates
    if not (_moves(evidence.reference) and _moves(evidence.candidate)):
        return None
    for shift, told in ((1, "later"), (-1, "earlier")):
        if _follows(two, one, lambda n, shift=shift: n + shift):  # type: ignore[misc]  # bound at once
            return (
                f"each step of {evidence.candidate.label} uses the learning rate that "
                f"{evidence.reference.label} uses one step {told}"
            )
    return None


@dataclass(frozen=True)
class _Walk:
    """Two sides of which one goes through the same schedule so many times as fast."""

    fast: RunView
    slow: RunView
    slow_ends: bool
    """Whether the slower schedule ends with the run, as it should; else it is too long."""


def _walks(evidence: Evidence, stride: int) -> _Walk | None:
    """Which side moves its schedule on `stride` times as fast, if one does.

    It may have moved on before the first update by all but one of the times that belong to it.
    """
    if stride < 2 or not _rates_diverge(evidence):
        return None
    if len(evidence.reference.rates) != len(evidence.candidate.rates):
        return None
    recipe = evidence.reference.record.spec.recipe
    for run, other in evidence.ordered_pairs:
        fast, slow = run.rates, other.rates
        if not (_moves(run) and _moves(other)):
            continue
        for start in (0, stride - 1):
            for behind in (_behind(slow, recipe.lr_schedule, stride), []):
                if not behind and fast[0] < max(fast):
                    continue  # of a warm-up too little is known
                known = [*slow, *behind]
                if _follows(fast, known, lambda n, start=start: n * stride + start):  # type: ignore[misc]  # bound at once
                    return _Walk(run, other, bool(behind))
        if recipe.lr_schedule == "linear" and _falls_faster(fast, slow, stride):
            return _Walk(run, other, _is_line(slow, 0, len(slow)))
    return None


def _behind(rates: Sequence[float], shape: str, times: int) -> list[float]:
    """How a schedule goes on that ends with these rates: a line stays at 0, a cosine rises."""
    if shape == "constant":
        return []
    if shape == "linear":
        return [0.0] * (times * len(rates))
    back = [0.0, *reversed(rates[1:])]
    return (back + [*rates, *back] * times)[: times * len(rates)]


def _too_long(evidence: Evidence, steps: int) -> _Walk | None:
    """One side's line after a warm-up may be as long as there are micro-batches."""
    recipe = evidence.reference.record.spec.recipe
    count, peak = len(evidence.reference.rates), max(evidence.reference.rates, default=0.0)
    warm = evidence.reference.rates.index(peak) if peak else 0
    lengths = {count * steps, evidence.reference.record.header.micro_batches}
    if steps < 2 or recipe.lr_schedule != "linear" or not 0 < warm < count - _LEAST:
        return None
    if evidence.reference.world_size > 1 or not _rates_diverge(evidence):
        return None
    for run, other in evidence.ordered_pairs:
        for length, rise in itertools.product(lengths, (warm, steps * warm)):
            if _is_line(other.rates, warm, count) and _is_line(run.rates, rise, length):
                return _Walk(other, run, slow_ends=False)
    return None


def _is_line(rates: Sequence[float], warm: int, length: int) -> bool:
    """Whether rates rise to their peak in `warm` steps, and then fall to 0 at `length`."""
    if warm >= min(length, len(rates)):
        return False
    peak = max(rates)
    made = [n / warm if n < warm else (length - n) / (length - warm) for n in range(len(rates))]
    return _follows(rates, [peak * share for share in made], lambda n: n)


def _falls_faster(fast: Sequence[float], slow: Sequence[float], factor: int) -> bool:
    """Whether, in lines from one peak, one falls so many times as fast as the other."""
    falls = [(fast[0] - one, slow[0] - two) for one, two in zip(fast, slow, strict=True)]
    return fast[0] == slow[0] and all(
        math.isclose(one, factor * two, rel_tol=1e-6, abs_tol=1e-12) for one, two in falls
    )


def _per_process(evidence: Evidence) -> str | None:
    size = evidence.reference.world_size
    found = _walks(evidence, size)
    if found is None or not found.slow_ends or _accumulation(evidence) == size:
        return None
    return (
        f"the schedule of {found.fast.label} moves on {size} times a step, once for each process: "
        f"at step 2 its learning rate is {number(found.fast.rates[1], 6)}, that of "
        f"{found.slow.label} {number(found.slow.rates[1], 6)}"
    )


def _accumulation(evidence: Evidence) -> int:
    return evidence.reference.record.spec.recipe.gradient_accumulation_steps


def _in_micro_steps(evidence: Evidence) -> str | None:
    steps = _accumulation(evidence)
    found = _walks(evidence, steps) or _too_long(evidence, steps)
    if found is None or evidence.reference.world_size == steps:
        return None
    if found.slow_ends:
        told = f"{found.fast.label} moves its schedule on at each micro-batch"
    else:
        told = f"{found.slow.label} makes its schedule as long as there are micro-batches"
    at = evidence.firsts["learning_rate"].step
    return (
        f"{told}, {steps} a step: at step {at} its learning rate is "
        f"{number(evidence.candidate.rates[at - 1], 6)}, that of {evidence.reference.label} "
        f"{number(evidence.reference.rates[at - 1], 6)}"
    )


def _skip_unseen(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("learning_rate")
    recipe = evidence.reference.record.spec.recipe
    if place is None or recipe.precision != "fp16" or "learning_rate" not in evidence.independent:
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
                f"the gradients of step {overflows[-1]} overflowed and its update was left out; "
                f"the schedule of {run.label} moved on all the same"
            )
    return None


RULES = (
    CauseRule(
        "fp16-skip-unseen",
        "the schedule moves on though the update was left out",
        ("learning_rate",),
        _skip_unseen,
        "move the schedule on only where the optimizer made its step; with fp16 take an optimizer "
        "that is not fused",
        "accelerate#4242",
    ),
    CauseRule(
        "schedule-never-steps",
        "the schedule never moves on",
        ("learning_rate",),
        _never_steps,
        "call scheduler.step() after each update",
    ),
    CauseRule(
        "schedule-off-by-one",
        "the schedule is one step ahead, or behind",
        ("learning_rate",),
        _off_by_one,
        "call scheduler.step() once, after optimizer.step()",
    ),
    CauseRule(
        "scheduler-steps-per-process",
        "a prepared scheduler moves on once for each process",
        ("learning_rate",),
        _per_process,
        "leave the scheduler unprepared, or make it as many times as long",
        "accelerate#1382, transformers#24088",
    ),
    CauseRule(
        "schedule-in-micro-steps",
        "the schedule counts micro-batches, not updates",
        ("learning_rate",),
        _in_micro_steps,
        "make its length the number of updates, and move it on once an update",
        "accelerate#963",
    ),
)
