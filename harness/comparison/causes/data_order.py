"""Causes in the rows that two runs train on: by process, left out, or read twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.comparison.causes.accumulation import window_dropped
from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import RESUMED
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView

__all__ = ["RULES"]

_PASS = 0.9
"""Share of an epoch's rows; a row that comes again after so many may begin the next pass."""


def _unsharded_data(evidence: Evidence) -> str | None:
    for run, _ in evidence.ordered_pairs:
        if "data_order" in evidence.independent and run.unsharded:
            return f"all {run.world_size} processes of {run.label} train on the same rows"
    return None


def _last_batch(run: RunView) -> list[int]:
    """The row ids of the incomplete last batch of the first epoch, in the order of this run."""
    size = run.record.run_spec.recipe.per_device_batch_size
    left = run.rows_in_set % size
    rows: list[int] = run.rows[run.rows_in_set - left : run.rows_in_set].tolist()
    return rows if left else []


def _last_batch_dropped(evidence: Evidence) -> str | None:
    setting = evidence.settings.get("loader.drop_last")
    if setting is not None:
        who = evidence.candidate if setting.candidate else evidence.reference
        return f"{who.label} drops the incomplete batch at the end of each epoch"
    if "data_order" not in evidence.firsts or evidence.reference.world_size > 1:
        return None
    for run, other in evidence.ordered_pairs:
        tail = _last_batch(other)
        full = other.rows_in_set - len(tail)
        if not tail or len(run.rows) <= full:
            continue
        if not np.array_equal(run.rows[:full], other.rows[:full]):
            continue
        after = run.rows[full : 2 * full].tolist()
        if after[: len(tail)] != tail and len(set(after)) == len(after):
            return (
                f"{run.label} drops the incomplete batch at the end of each epoch "
                f"({len(tail)} {'row' if len(tail) == 1 else 'rows'})"
            )
    return None


def _distinct(rows: Sequence[int]) -> int:
    """How many rows come before the first one that came already."""
    seen: set[int] = set()
    for row in rows:
        if row in seen:
            break
        seen.add(row)
    return len(seen)


def _sample_repeated(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if (
        "data_order" not in evidence.independent
        or place is None
        or evidence.reference.world_size > 1
    ):
        return None
    epoch = (place.step - 1) // (evidence.reference.record.header.steps_per_epoch or 1)
    for run, other in evidence.ordered_pairs:
        rows, right = run.epoch(epoch), other.epoch(epoch)
        count = min(len(rows), len(right))
        had = Counter(right[:count])
        twice = [row for row, n in Counter(rows[:count]).items() if n > max(1, had[row])]
        if _distinct(rows) >= _PASS * count:
            continue  # a shorter pass through the rows, and then the next one
        if twice and -1 not in rows and not Counter(right[:count]) - Counter(set(right)):
            rows_named = f"row {twice[0]}" if len(twice) == 1 else f"{len(twice)} rows"
            first = f" (first row {twice[0]})" if len(twice) > 1 else ""
            return (
                f"{run.label} trains on {rows_named} more than once in epoch {epoch + 1}{first}; "
                f"{other.label} trains on each row at most once"
            )
    return None


def _recipe_drops(evidence: Evidence) -> bool:
    return any(run.record.run_spec.recipe.drop_last for run in evidence.runs)


def _other_peak(evidence: Evidence) -> bool:
    """Whether the rates differ by more than the length of a schedule explains: in their peak."""
    if evidence.first_stage != "learning_rate":
        return False
    one, two = (max(run.rates, default=0.0) for run in evidence.runs)
    return abs(one - two) > 1e-9 * abs(one)


def _no_last_batch(evidence: Evidence) -> bool:
    """Whether whole batches make up the set, so there is no incomplete batch to drop."""
    sizes = [run.record.run_spec.recipe.per_device_batch_size for run in evidence.runs]
    rows = [run.rows_in_set for run in evidence.runs]
    rounds = [size * run.world_size for size, run in zip(sizes, evidence.runs, strict=True)]
    return all(count % of == 0 for count, of in zip(rows, rounds, strict=True))


def _rows_left_out(evidence: Evidence) -> bool:
    """Whether a batch, a window or single rows are left out, so that later epochs come earlier."""
    for run, other in evidence.ordered_pairs:
        epochs = 2 * other.rows_per_epoch
        if _skips(run.rows[:epochs].tolist(), other.rows[:epochs].tolist()):
            return True
    return bool(_last_batch_dropped(evidence) or window_dropped(evidence))


def _other_steps(evidence: Evidence) -> bool:
    return not np.array_equal(evidence.reference.trained_steps, evidence.candidate.trained_steps)


def _skips(rows: list[int], whole: list[int]) -> bool:
    """Whether `rows` is `whole` without some of its rows, in the same order.

    At most a third of `whole` is skipped at once, since each row returns in every epoch.
    """
    at, furthest = 0, len(whole) // 3
    for number, row in enumerate(rows):
        if row not in whole[at : at + furthest]:
            return at > number and at + furthest > len(whole)
        at = whole.index(row, at) + 1
    return True


def _both_unsharded(evidence: Evidence) -> bool:
    return all(run.unsharded for run in evidence.runs)


RULES = (
    CauseRule(
        "unsharded-data",
        "every process reads all rows",
        ("data_order",),
        _unsharded_data,
        "use a DistributedSampler, or prepare the loader",
        excluded_by=(
            CounterEvidence(
                "the processes of both runs read the same rows",
                "the row numbers of the first step, by process",
                _both_unsharded,
            ),
        ),
    ),
    CauseRule(
        "last-batch-dropped",
        "the incomplete last batch of an epoch is dropped",
        ("data_order", "learning_rate", "step_count"),
        _last_batch_dropped,
        "set the same drop_last in both",
        excluded_by=(
            CounterEvidence("the recipe drops the batch in both", "the recipe", _recipe_drops),
            CounterEvidence(
                "the learning rates differ in their peak, not only in the length of the schedule",
                "the learning rates",
                _other_peak,
            ),
            CounterEvidence(
                "whole batches make up the set",
                "the number of rows, the recipe",
                _no_last_batch,
            ),
            RESUMED,
        ),
    ),
    CauseRule(
        "sample-repeated",
        "a row is trained on twice, and another row not at all",
        ("data_order",),
        _sample_repeated,
        "draw the rows of each epoch without replacement",
        excluded_by=(
            RESUMED,
            CounterEvidence(
                "rows are left out, so rows of the next epoch come earlier",
                "the row numbers of two epochs",
                _rows_left_out,
            ),
            CounterEvidence(
                "one run makes more updates than the other", "the trained steps", _other_steps
            ),
        ),
    ),
)
