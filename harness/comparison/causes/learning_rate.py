"""Causes in the learning rates: the same schedule, walked otherwise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.comparison.causes.cause import Row
from harness.comparison.causes.evidence import Facts
from harness.comparison.causes.run_view import Side
from harness.units import number

__all__ = ["ROWS"]

_LEAST = 3  # steps that tell one way of walking a schedule from another


def _parts_in_rates(facts: Facts) -> bool:
    return "learning_rate" in facts.own and all(len(s.rates) >= _LEAST for s in facts.sides)


def _follows(rates: Sequence[float], other: Sequence[float], place: Callable[[int], int]) -> bool:
    """Whether each rate is the other side's at another place; where that is known.

    At places behind the other's end nothing is known, and at least `_LEAST` must be.
    """
    known = [(rates[n], other[place(n)]) for n in range(len(rates)) if 0 <= place(n) < len(other)]
    return len(known) >= _LEAST and all(
        math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-15) for one, two in known
    )


def _moves(side: Side) -> bool:
    return max(side.rates) > min(side.rates)


def _never_steps(facts: Facts) -> str | None:
    if not _parts_in_rates(facts):
        return None
    for side, other in facts.pairs:
        if _moves(side) or not _moves(other) or side.record.spec.recipe.lr_schedule == "constant":
            continue
        if side.rates[0] in (other.rates[0], max(other.rates)):
            return (
                f"the learning rate of {side.label} is {number(side.rates[0])} at each step, that "
                f"of {other.label} goes from {number(other.rates[0])} to {number(other.rates[-1])}"
            )
    return None


def _off_by_one(facts: Facts) -> str | None:
    if not _parts_in_rates(facts):
        return None
    one, two = facts.reference.rates, facts.candidate.rates
    if not (_moves(facts.reference) and _moves(facts.candidate)):
        return None
    for shift, told in ((1, "the next step"), (-1, "the step before")):
        if _follows(two, one, lambda n, shift=shift: n + shift):  # type: ignore[misc]  # bound at once
            return (
                f"each step of {facts.candidate.label} takes the learning rate that {told} has in "
                f"{facts.reference.label}"
            )
    return None


@dataclass(frozen=True)
class _Walk:
    """Two sides of which one goes through the same schedule so many times as fast."""

    fast: Side
    slow: Side
    slow_ends: bool
    """Whether the slower schedule ends with the run, as it should; else it is too long."""


def _walks(facts: Facts, stride: int) -> _Walk | None:
    """Which side moves its schedule on `stride` times as fast, if one does.

    It may have moved on before the first update by all but one of the times that belong to it.
    """
    if stride < 2 or not _parts_in_rates(facts):
        return None
    if len(facts.reference.rates) != len(facts.candidate.rates):
        return None
    recipe = facts.reference.record.spec.recipe
    for side, other in facts.pairs:
        fast, slow = side.rates, other.rates
        if not (_moves(side) and _moves(other)):
            continue
        for start in (0, stride - 1):
            for behind in (_behind(slow, recipe.lr_schedule, stride), []):
                if not behind and fast[0] < max(fast):
                    continue  # of a warm-up too little is known
                known = [*slow, *behind]
                if _follows(fast, known, lambda n, start=start: n * stride + start):  # type: ignore[misc]  # bound at once
                    return _Walk(side, other, bool(behind))
        if recipe.lr_schedule == "linear" and _falls_faster(fast, slow, stride):
            return _Walk(side, other, _is_line(slow, 0, len(slow)))
    return None


def _behind(rates: Sequence[float], shape: str, times: int) -> list[float]:
    """How a schedule goes on that ends with these rates: a line stays at 0, a cosine rises."""
    if shape == "constant":
        return []
    if shape == "linear":
        return [0.0] * (times * len(rates))
    back = [0.0, *reversed(rates[1:])]
    return (back + [*rates, *back] * times)[: times * len(rates)]


def _too_long(facts: Facts, steps: int) -> _Walk | None:
    """One side's line after a warm-up may be as long as there are micro-batches."""
    recipe = facts.reference.record.spec.recipe
    count, peak = len(facts.reference.rates), max(facts.reference.rates, default=0.0)
    warm = facts.reference.rates.index(peak) if peak else 0
    lengths = {count * steps, facts.reference.record.header.micro_batches}
    if steps < 2 or recipe.lr_schedule != "linear" or not 0 < warm < count - _LEAST:
        return None
    if facts.reference.world_size > 1 or not _parts_in_rates(facts):
        return None
    for side, other in facts.pairs:
        for length, rise in itertools.product(lengths, (warm, steps * warm)):
            if _is_line(other.rates, warm, count) and _is_line(side.rates, rise, length):
                return _Walk(other, side, slow_ends=False)
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


def _per_process(facts: Facts) -> str | None:
    size = facts.reference.world_size
    found = _walks(facts, size)
    if found is None or not found.slow_ends or _accumulation(facts) == size:
        return None
    return (
        f"the schedule of {found.fast.label} moves on {size} times a step, once for each process: "
        f"at step 2 its learning rate is {number(found.fast.rates[1], 6)}, that of "
        f"{found.slow.label} {number(found.slow.rates[1], 6)}"
    )


def _accumulation(facts: Facts) -> int:
    return facts.reference.record.spec.recipe.gradient_accumulation_steps


def _in_micro_steps(facts: Facts) -> str | None:
    steps = _accumulation(facts)
    found = _walks(facts, steps) or _too_long(facts, steps)
    if found is None or facts.reference.world_size == steps:
        return None
    if found.slow_ends:
        told = f"{found.fast.label} moves its schedule on at each micro-batch"
    else:
        told = f"{found.slow.label} makes its schedule as long as there are micro-batches"
    at = facts.places["learning_rate"].step
    return (
        f"{told}, {steps} a step: at step {at} its learning rate is "
        f"{number(facts.candidate.rates[at - 1], 6)}, that of {facts.reference.label} "
        f"{number(facts.reference.rates[at - 1], 6)}"
    )


def _skip_unseen(facts: Facts) -> str | None:
    place = facts.places.get("learning_rate")
    recipe = facts.reference.record.spec.recipe
    if place is None or recipe.precision != "fp16" or "learning_rate" not in facts.own:
        return None
    overflows = [
        step
        for step, norm in enumerate(facts.reference.grad_norms, start=1)
        if not math.isfinite(norm) and step < place.step
    ]
    if not overflows or overflows[-1] != place.step - 1:
        return None
    for side, other in facts.pairs:
        if math.isclose(other.rates[place.step - 1], other.rates[place.step - 2], rel_tol=1e-9):
            return (
                f"the gradients of step {overflows[-1]} overflowed and its update was left out; "
                f"the schedule of {side.label} moved on all the same"
            )
    return None


ROWS = (
    Row(
        "fp16-skip-unseen",
        "the schedule moves on though the update was left out",
        ("learning_rate",),
        _skip_unseen,
        "move the schedule on only where the optimizer made its step; with fp16 take an optimizer "
        "that is not fused",
        "accelerate#4242",
    ),
    Row(
        "schedule-never-steps",
        "the schedule never moves on",
        ("learning_rate",),
        _never_steps,
        "call scheduler.step() after each update",
    ),
    Row(
        "schedule-off-by-one",
        "the schedule is one step ahead, or behind",
        ("learning_rate",),
        _off_by_one,
        "call scheduler.step() once, after optimizer.step()",
    ),
    Row(
        "scheduler-steps-per-process",
        "a prepared scheduler moves on once for each process",
        ("learning_rate",),
        _per_process,
        "leave the scheduler unprepared, or make it as many times as long",
        "accelerate#1382, transformers#24088",
    ),
    Row(
        "schedule-in-micro-steps",
        "the schedule counts micro-batches, not updates",
        ("learning_rate",),
        _in_micro_steps,
        "make its length the number of updates, and move it on once an update",
        "accelerate#963",
    ),
)
