"""Causes in the rows that two runs trained on, and in their order."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from harness.comparison.causes.accumulation import window_dropped
from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView

__all__ = ["RULES"]


def _epoch(run: RunView, number: int) -> list[int]:
    """The row ids of an epoch, counted from 0; fewer if the run ended within it."""
    size = run.rows_per_epoch
    rows: list[int] = run.rows[number * size : (number + 1) * size].tolist()
    return rows


def _starts_epoch(run: RunView, step: int) -> int | None:
    """The epoch that begins with this step, counted from 0; None if none does."""
    per_epoch = run.record.header.steps_per_epoch
    if not per_epoch or (step - 1) % per_epoch:
        return None
    return (step - 1) // per_epoch


def _kept_neighbours(one: list[int], two: list[int]) -> float:
    """Share of the neighbouring rows of one order that are neighbours in the other order too.

    The direction does not matter. Two random orders of n rows share about 2 / n of them.
    """
    pairs = [{frozenset(pair) for pair in itertools.pairwise(rows)} for rows in (one, two)]
    fewer = min(map(len, pairs))
    return len(pairs[0] & pairs[1]) / fewer if fewer else 0.0


def _order_diverges(evidence: Evidence) -> bool:
    return "data_order" in evidence.independent and evidence.resumed_at is None


def _unsharded(run: RunView) -> bool:
    """Whether all processes read the same rows in the first step."""
    if run.world_size == 1:
        return False
    by_rank: dict[int, list[int]] = {}
    for rank, _, rows in run.batches_at(1):
        by_rank.setdefault(rank, []).extend(rows)
    return len(by_rank) == run.world_size and len({tuple(r) for r in by_rank.values()}) == 1


def _unsharded_data(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        if "data_order" in evidence.independent and _unsharded(run) and not _unsharded(other):
            return f"all {run.world_size} processes of {run.label} train on the same rows"
    return None


def _sampler_differs(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if not _order_diverges(evidence) or place is None or place.rank:
        return None
    epoch = _starts_epoch(evidence.reference, place.step)
    if epoch is None or any(_unsharded(run) for run in evidence.runs):
        return None
    if epoch and any(_repeats_order(run) for run in evidence.runs):
        return None
    if epoch and "rng" in evidence.firsts and evidence.firsts["rng"].step < place.step:
        return None  # the state of the generator that may draw the order differs before
    one, two = (_epoch(run, epoch) for run in evidence.runs)
    size = evidence.reference.rows_per_epoch
    whole = len(one) == len(two) == size and evidence.reference.world_size == 1
    if evidence.reference.world_size > 1:  # rows that pad the last round appear twice
        same_rows = set(one) == set(two) and len(one) >= size
    else:
        same_rows = whole and Counter(one) == Counter(two)
    setting = evidence.settings.get("loader.sampler")
    if setting is None and any(_is_no_draw(run, other) for run, other in evidence.ordered_pairs):
        return None
    if not same_rows:
        distinct = max(max(Counter(rows).values(), default=2) for rows in (one, two)) == 1
        if setting is None or not distinct or (whole and Counter(one) != Counter(two)):
            return None
    if _same_batches(evidence) or _kept_neighbours(one, two) > 0.5:
        return None  # one order with local errors, reversed, or with sections moved
    sentence = "the same rows in another order" if same_rows else "other rows from step 1 on"
    if setting is not None:
        sentence += (
            f": {evidence.candidate.label} draws from {setting.candidate}, "
            f"{evidence.reference.label} draws from {setting.reference}"
        )
    return sentence


def _is_no_draw(run: RunView, other: RunView) -> bool:
    """Whether the orders are known not to differ because of the source of their draws."""
    sampler = run.setting("loader.sampler")
    if sampler is not None and sampler == other.setting("loader.sampler"):
        return True  # the same source; only its state can differ
    return sampler is None and _repeats_order(run)


def _same_batches(evidence: Evidence) -> bool:
    """Whether each micro-batch holds the same rows in both runs, in any order."""
    pairs = zip(evidence.reference.each_batch(), evidence.candidate.each_batch(), strict=False)
    return all(sorted(one) == sorted(two) for one, two in pairs)


def _repeats_order(run: RunView) -> bool:
    first, second = _epoch(run, 0), _epoch(run, 1)
    return bool(second) and second == first[: len(second)]


def _same_order_every_epoch(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if place is None or not _starts_epoch(evidence.reference, place.step):
        return None
    for run, other in evidence.ordered_pairs:
        if _repeats_order(run) and not _repeats_order(other):
            return f"{run.label} reads the rows of epoch 2 in the order of epoch 1"
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
    if any(run.record.run_spec.recipe.drop_last for run in evidence.runs):
        return None  # the recipe drops it
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


def _sample_repeated(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if not _order_diverges(evidence) or place is None or evidence.reference.world_size > 1:
        return None
    if (
        _last_batch_dropped(evidence)
        or window_dropped(evidence)
        or not np.array_equal(evidence.reference.trained_steps, evidence.candidate.trained_steps)
    ):
        return None
    epoch = (place.step - 1) // (evidence.reference.record.header.steps_per_epoch or 1)
    for run, other in evidence.ordered_pairs:
        rows, right = _epoch(run, epoch), _epoch(other, epoch)
        count = min(len(rows), len(right))
        had = Counter(right[:count])
        twice = [row for row, n in Counter(rows[:count]).items() if n > max(1, had[row])]
        epochs = 2 * other.rows_per_epoch
        if _skips(run.rows[:epochs].tolist(), other.rows[:epochs].tolist()):
            continue
        if twice and -1 not in rows and not Counter(right[:count]) - Counter(set(right)):
            rows_named = f"row {twice[0]}" if len(twice) == 1 else f"{len(twice)} rows"
            first = f" (first row {twice[0]})" if len(twice) > 1 else ""
            return (
                f"{run.label} trains on {rows_named} more than once in epoch {epoch + 1}{first}; "
                f"{other.label} trains on each row at most once"
            )
    return None


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


def _resume_reorders(evidence: Evidence) -> str | None:
    at = evidence.resumed_at
    if at is None or evidence.first_stage not in ("data_order", "batch_content"):
        return None
    if evidence.step != at + 1:
        return None
    what = "other rows" if evidence.first_stage == "data_order" else "other batch content"
    return f"the run that was resumed after step {at} continues with {what} at step {evidence.step}"


RULES = (
    CauseRule(
        "resume-reorders",
        "a resume shuffles again, or repeats random draws of the collator",
        ("data_order", "batch_content"),
        _resume_reorders,
        "save the generators at the start of the epoch, draw its order again, skip the batches "
        "that were done, and restore the generators of the checkpoint",
        "accelerate#2016, transformers#46628",
    ),
    CauseRule(
        "unsharded-data",
        "every process reads all rows",
        ("data_order",),
        _unsharded_data,
        "use a DistributedSampler, or prepare the loader",
    ),
    CauseRule(
        "same-order-every-epoch",
        "every epoch has the same order of rows",
        ("data_order",),
        _same_order_every_epoch,
        "call set_epoch before each epoch, or seed the order with seed + epoch",
    ),
    CauseRule(
        "last-batch-dropped",
        "the incomplete last batch of an epoch is dropped",
        ("data_order", "learning_rate", "step_count"),
        _last_batch_dropped,
        "set the same drop_last in both",
    ),
    CauseRule(
        "sample-repeated",
        "a row is trained on twice, and another row not at all",
        ("data_order",),
        _sample_repeated,
        "draw the rows of each epoch without replacement",
    ),
    CauseRule(
        "sampler-differs",
        "another order of the same rows",
        ("data_order",),
        _sampler_differs,
        "draw both orders from a separate generator with the same seed (Accelerate: "
        "use_seedable_sampler=True)",
        "accelerate#2057, accelerate#2333, transformers#11772",
    ),
)
