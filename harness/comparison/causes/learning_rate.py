"""Causes in the learning rates: one schedule, advanced in different ways."""

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

_LEAST = 3  # steps needed to distinguish two ways of advancing a schedule


def _rates_diverge(evidence: Evidence) -> bool:
    """Whether two schedules differ, each of one rate for all parameters that it updates."""
    return (
        "learning_rate" in evidence.independent
        and all(s.has_one_rate for s in evidence.runs)
        and all(len(s.rates) >= _LEAST for s in evidence.runs)
    )


def _follows(rates: Sequence[float], other: Sequence[float], place: Callable[[int], int]) -> bool:
    """Whether `rates[n]` equals `other[place(n)]` for each n with a place inside `other`.

    At least `_LEAST` places must lie inside `other`.
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
        if _moves(run) or not _moves(other) or run.record.run_spec.recipe.lr_schedule == "constant":
            continue
        if run.rates[0] in (other.rates[0], max(other.rates)):
            return (
                f"the learning rate of {run.label} is {number(run.rates[0])} at each step; that of "
                f"{other.label} goes from {number(other.rates[0])} to {number(other.rates[-1])}"
            )
    return None


def _off_by_one(evidence: Evidence) -> str | None:
    if not _rates_diverge(evidence):
        return None
    one, two = evidence.reference.rates, evidence.candidate.rates
    if not (_moves(evidence.reference) and _moves(evidence.candidate)) or _update_missing(evidence):
        return None
    for shift, when in ((1, "later"), (-1, "earlier")):
        if _follows(two, one, lambda n, shift=shift: n + shift):  # type: ignore[misc]  # bound at once
            return (
                f"each step of {evidence.candidate.label} uses the learning rate that "
                f"{evidence.reference.label} uses one step {when}"
            )
    return None


def _update_missing(evidence: Evidence) -> bool:
    """Whether one run makes no update from some rows: then its steps are other updates."""
    place, rates = evidence.firsts.get("data_order"), evidence.firsts["learning_rate"]
    if place is None or place.step > rates.step:
        return False
    return evidence.reference.window(place.step) != evidence.candidate.window(place.step)


@dataclass(frozen=True)
class _Stride:
    """Two runs, one of which advances the same schedule several times as fast as the other."""

    fast: RunView
    slow: RunView
    slow_ends: bool
    """Whether the slow schedule ends with the run, as it should; if not, it is too long."""


def _strides(evidence: Evidence, stride: int) -> _Stride | None:
    """The run that advances its schedule `stride` times as fast as the other; None if none does.

    Before the first update it may have advanced by 0 or by `stride` - 1 positions.
    """
    if stride < 2 or not _rates_diverge(evidence):
        return None
    if len(evidence.reference.rates) != len(evidence.candidate.rates):
        return None
    recipe = evidence.reference.record.run_spec.recipe
    for run, other in evidence.ordered_pairs:
        fast, slow = run.rates, other.rates
        if not (_moves(run) and _moves(other)):
            continue
        for start in (0, stride - 1):
            for behind in (_behind(slow, recipe.lr_schedule, stride), []):
                if not behind and fast[0] < max(fast):
                    continue  # too few rates of the warm-up are known
                known = [*slow, *behind]
                if _follows(fast, known, lambda n, start=start: n * stride + start):  # type: ignore[misc]  # bound at once
                    return _Stride(run, other, bool(behind))
        if recipe.lr_schedule == "linear" and _falls_faster(fast, slow, stride):
            return _Stride(run, other, _is_line(slow, 0, len(slow)))
    return None


def _behind(rates: Sequence[float], shape: str, times: int) -> list[float]:
    """How a schedule continues after these rates: a line stays at 0, a cosine rises again."""
    if shape == "constant":
        return []
    if shape == "linear":
        return [0.0] * (times * len(rates))
    back = [0.0, *reversed(rates[1:])]
    return (back + [*rates, *back] * times)[: times * len(rates)]


def _too_long(evidence: Evidence, steps: int) -> _Stride | None:
    """Whether one linear schedule is as long as the number of micro-batches, not of updates."""
    recipe = evidence.reference.record.run_spec.recipe
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
                return _Stride(other, run, slow_ends=False)
    return None


def _is_line(rates: Sequence[float], warm: int, length: int) -> bool:
    """Whether rates rise to their peak in `warm` steps and fall to 0 at step `length`."""
    if warm >= min(length, len(rates)):
        return False
    peak = max(rates)
    made = [n / warm if n < warm else (length - n) / (length - warm) for n in range(len(rates))]
    return _follows(rates, [peak * share for share in made], lambda n: n)


def _falls_faster(fast: Sequence[float], slow: Sequence[float], factor: int) -> bool:
    """Whether, from one peak, the first line falls `factor` times as fast as the second."""
    falls = [(fast[0] - one, slow[0] - two) for one, two in zip(fast, slow, strict=True)]
    return fast[0] == slow[0] and all(
        math.isclose(one, factor * two, rel_tol=1e-6, abs_tol=1e-12) for one, two in falls
    )


def _per_process(evidence: Evidence) -> str | None:
    size = evidence.reference.world_size
    found = _strides(evidence, size)
    if found is None or not found.slow_ends or _accumulation(evidence) == size:
        return None
    return (
        f"the schedule of {found.fast.label} advances {size} times per step, once for each "
        f"process: at step 2 its learning rate is {number(found.fast.rates[1], 6)}, that of "
        f"{found.slow.label} {number(found.slow.rates[1], 6)}"
    )


def _accumulation(evidence: Evidence) -> int:
    return evidence.reference.record.run_spec.recipe.gradient_accumulation_steps


def _in_micro_steps(evidence: Evidence) -> str | None:
    steps = _accumulation(evidence)
    found = _strides(evidence, steps) or _too_long(evidence, steps)
    if found is None or evidence.reference.world_size == steps:
        return None
    if found.slow_ends:
        fault = f"{found.fast.label} advances its schedule at each micro-batch, {steps} per step"
    else:
        fault = (
            f"the schedule of {found.slow.label} is as long as the number of micro-batches, "
            f"{steps} per step"
        )
    at = evidence.firsts["learning_rate"].step
    return (
        f"{fault}: at step {at} the learning rate is {number(evidence.candidate.rates[at - 1], 6)} "
        f"in {evidence.candidate.label} and {number(evidence.reference.rates[at - 1], 6)} in "
        f"{evidence.reference.label}"
    )


def _skip_unseen(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("learning_rate")
    recipe = evidence.reference.record.run_spec.recipe
    if place is None or recipe.precision != "fp16" or not _rates_diverge(evidence):
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


RULES = (
    CauseRule(
        "fp16-skip-unseen",
        "the schedule advances although the update was skipped",
        ("learning_rate",),
        _skip_unseen,
        "advance the schedule only after an update that was made; with fp16 use an optimizer that "
        "is not fused",
        "accelerate#4242",
    ),
    CauseRule(
        "schedule-never-steps",
        "the schedule never advances",
        ("learning_rate",),
        _never_steps,
        "call scheduler.step() after each update",
    ),
    CauseRule(
        "schedule-off-by-one",
        "the schedule is one step ahead or behind",
        ("learning_rate",),
        _off_by_one,
        "call scheduler.step() once, after optimizer.step()",
        needs_recipe=False,
    ),
    CauseRule(
        "scheduler-steps-per-process",
        "a prepared scheduler advances once for each process",
        ("learning_rate",),
        _per_process,
        "do not prepare the scheduler, or multiply its length by the number of processes",
        "accelerate#1382, transformers#24088",
    ),
    CauseRule(
        "schedule-in-micro-steps",
        "the schedule counts micro-batches, not updates",
        ("learning_rate",),
        _in_micro_steps,
        "set its length to the number of updates, and advance it once per update",
        "accelerate#963",
    ),
)
