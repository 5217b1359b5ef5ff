"""Causes in the pace of a schedule: it counts processes or micro-batches instead of updates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.learning_rate import LEAST, follows, moves, rates_diverge
from harness.comparison.causes.run_view import RunView
from harness.units import number

__all__ = ["RULES"]


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
    if stride < 2 or not rates_diverge(evidence):
        return None
    if len(evidence.reference.rates) != len(evidence.candidate.rates):
        return None
    recipe = evidence.reference.record.run_spec.recipe
    for run, other in evidence.ordered_pairs:
        fast, slow = run.rates, other.rates
        if not (moves(run) and moves(other)):
            continue
        for start in (0, stride - 1):
            for behind in (_behind(slow, recipe.lr_schedule, stride), []):
                if not behind and fast[0] < max(fast):
                    continue  # too few rates of the warm-up are known
                known = [*slow, *behind]
                if follows(fast, known, lambda n, start=start: n * stride + start):  # type: ignore[misc]  # bound at once
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
    if steps < 2 or recipe.lr_schedule != "linear" or not 0 < warm < count - LEAST:
        return None
    if evidence.reference.world_size > 1 or not rates_diverge(evidence):
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
    return follows(rates, [peak * share for share in made], lambda n: n)


def _falls_faster(fast: Sequence[float], slow: Sequence[float], factor: int) -> bool:
    """Whether, from one peak, the first line falls `factor` times as fast as the second."""
    falls = [(fast[0] - one, slow[0] - two) for one, two in zip(fast, slow, strict=True)]
    return fast[0] == slow[0] and all(
        math.isclose(one, factor * two, rel_tol=1e-6, abs_tol=1e-12) for one, two in falls
    )


def _per_process(evidence: Evidence) -> str | None:
    size = evidence.reference.world_size
    found = _strides(evidence, size)
    if found is None or not (found.slow_ends or _prepared(found.fast) == size):
        return None
    at = evidence.firsts["learning_rate"].step
    return (
        f"the schedule of {found.fast.label} advances {size} times per step, once for each "
        f"process: at step {at} its learning rate is {number(found.fast.rates[at - 1], 6)}, that "
        f"of {found.slow.label} {number(found.slow.rates[at - 1], 6)}"
    )


def _prepared(run: RunView) -> int | None:
    """Steps of a prepared scheduler per update; None if no scheduler is prepared."""
    steps = run.setting("schedule.steps_per_update")
    return None if steps is None else int(steps)


def _not_prepared(evidence: Evidence) -> bool:
    """Whether one update has as many micro-batches as there are processes, and no scheduler that
    advances per process is known."""
    size = evidence.reference.world_size
    return _accumulation(evidence) == size and not any(_prepared(s) == size for s in evidence.runs)


def _accumulation(evidence: Evidence) -> int:
    return evidence.reference.record.run_spec.recipe.gradient_accumulation_steps


def _in_micro_steps(evidence: Evidence) -> str | None:
    steps = _accumulation(evidence)
    found = _strides(evidence, steps) or _too_long(evidence, steps)
    if found is None:
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


def _as_many_processes(evidence: Evidence) -> bool:
    return _accumulation(evidence) == evidence.reference.world_size


RULES = (
    CauseRule(
        "scheduler-steps-per-process",
        "a prepared scheduler advances once for each process",
        ("learning_rate",),
        _per_process,
        "do not prepare the scheduler, or multiply its length by the number of processes",
        "accelerate#1382, transformers#24088",
        excluded_by=(
            CounterEvidence(
                "an update has as many micro-batches as there are processes, and no scheduler is "
                "prepared",
                "the recipe, the setting `schedule.steps_per_update`",
                _not_prepared,
            ),
        ),
    ),
    CauseRule(
        "schedule-in-micro-steps",
        "the schedule counts micro-batches, not updates",
        ("learning_rate",),
        _in_micro_steps,
        "set its length to the number of updates, and advance it once per update",
        "accelerate#963",
        excluded_by=(
            CounterEvidence(
                "an update has as many micro-batches as there are processes",
                "the recipe, the number of processes",
                _as_many_processes,
            ),
        ),
    ),
)
