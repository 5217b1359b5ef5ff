"""Causes in the order of the rows: not shuffled, drawn from another source, or never redrawn."""

from __future__ import annotations

import itertools
from collections import Counter

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import OTHER_SEED, RESUMED
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView

__all__ = ["RULES"]

_SEQUENTIAL = "sequential"


def _kept_neighbours(one: list[int], two: list[int]) -> float:
    """Share of the neighbouring rows of one order that are neighbours in the other order too.

    The direction does not matter. Two random orders of n rows share about 2 / n of them.
    """
    pairs = [{frozenset(pair) for pair in itertools.pairwise(rows)} for rows in (one, two)]
    fewer = min(map(len, pairs))
    return len(pairs[0] & pairs[1]) / fewer if fewer else 0.0


def _sampler_differs(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if "data_order" not in evidence.independent or place is None or place.rank:
        return None
    epoch = evidence.reference.epoch_begun_by(place.step)
    if epoch is None:
        return None
    one, two = (run.epoch(epoch) for run in evidence.runs)
    size = evidence.reference.rows_per_epoch
    whole = len(one) == len(two) == size and evidence.reference.world_size == 1
    if evidence.reference.world_size > 1:  # rows that pad the last round appear twice
        same_rows = set(one) == set(two) and len(one) >= size
    else:
        same_rows = whole and Counter(one) == Counter(two)
    setting = evidence.settings.get("loader.sampler")
    if not same_rows:
        distinct = max(max(Counter(rows).values(), default=2) for rows in (one, two)) == 1
        if setting is None or not distinct or (whole and Counter(one) != Counter(two)):
            return None
    sentence = "the same rows in another order" if same_rows else f"other rows at step {place.step}"
    if setting is not None:
        sentence += (
            f": {evidence.candidate.label} draws from {setting.candidate}, "
            f"{evidence.reference.label} draws from {setting.reference}"
        )
    return sentence


def _reads_all_rows(evidence: Evidence) -> bool:
    return any(run.unsharded for run in evidence.runs)


def _repeats_an_order(evidence: Evidence) -> bool:
    place = evidence.firsts.get("data_order")
    epoch = evidence.reference.epoch_begun_by(place.step) if place is not None else None
    return bool(epoch) and any(run.repeats_order for run in evidence.runs)


def _generator_differs_before(evidence: Evidence) -> bool:
    """Whether the generator that may draw the order had another state before the order differs."""
    order, rng = evidence.firsts.get("data_order"), evidence.firsts.get("rng")
    return order is not None and rng is not None and rng.step < order.step


def _one_source(evidence: Evidence) -> bool:
    """Whether the orders are known not to differ because of the source of their draws."""
    return "loader.sampler" not in evidence.settings and any(
        _is_no_draw(run, other) for run, other in evidence.ordered_pairs
    )


def _order_is_kept(evidence: Evidence) -> bool:
    """Whether the orders have local errors only: one is reversed, or its sections are moved."""
    place = evidence.firsts.get("data_order")
    epoch = evidence.reference.epoch_begun_by(place.step) if place is not None else None
    if epoch is None:
        return False
    one, two = (run.epoch(epoch) for run in evidence.runs)
    return bool(_same_batches(evidence) or _kept_neighbours(one, two) > 0.5)


def _in_order(evidence: Evidence) -> bool:
    """Whether one run reads its rows in the order of the set, so nothing is drawn."""
    return any(run.setting("loader.sampler") == _SEQUENTIAL for run in evidence.runs) or any(
        rows == sorted(rows) and len(rows) > 2 for rows in (r.epoch(0) for r in evidence.runs)
    )


def _is_no_draw(run: RunView, other: RunView) -> bool:
    """Whether the orders are known not to differ because of the source of their draws."""
    sampler = run.setting("loader.sampler")
    if sampler is not None and sampler == other.setting("loader.sampler"):
        return True  # the same source; only its state can differ
    return sampler is None and run.repeats_order


def _same_batches(evidence: Evidence) -> bool:
    """Whether each micro-batch holds the same rows in both runs, in any order."""
    pairs = zip(evidence.reference.each_batch(), evidence.candidate.each_batch(), strict=False)
    return all(sorted(one) == sorted(two) for one, two in pairs)


def _same_order_every_epoch(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if place is None or not evidence.reference.epoch_begun_by(place.step):
        return None
    for run, _ in evidence.ordered_pairs:
        if run.repeats_order:
            return f"{run.label} reads the rows of epoch 2 in the order of epoch 1"
    return None


def _both_repeat(evidence: Evidence) -> bool:
    return all(run.repeats_order for run in evidence.runs)


def _not_shuffled(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("data_order")
    if place is None or "data_order" not in evidence.independent or place.step != 1:
        return None
    for run, other in evidence.ordered_pairs:
        rows = run.epoch(0)
        if len(rows) > 2 and rows == list(range(len(rows))):
            return (
                f"{run.label} reads the rows in the order of the set, from row 0 to row "
                f"{rows[-1]}; {other.label} does not"
            )
    return None


def _both_in_order(evidence: Evidence) -> bool:
    return all(run.epoch(0) == sorted(run.epoch(0)) for run in evidence.runs)


RULES = (
    CauseRule(
        "same-order-every-epoch",
        "every epoch has the same order of rows",
        ("data_order",),
        _same_order_every_epoch,
        "call set_epoch before each epoch, or seed the order with seed + epoch",
        excluded_by=(
            CounterEvidence(
                "both runs repeat their order", "the row numbers of two epochs", _both_repeat
            ),
            CounterEvidence(
                "one run reads the rows in the order of the set",
                "the row numbers, the setting `loader.sampler`",
                _in_order,
            ),
        ),
    ),
    CauseRule(
        "not-shuffled",
        "one run reads the rows in the order of the set",
        ("data_order",),
        _not_shuffled,
        "shuffle in both runs, or in neither",
        excluded_by=(
            CounterEvidence(
                "both runs read the rows in the order of the set",
                "the row numbers of the first epoch",
                _both_in_order,
            ),
        ),
    ),
    CauseRule(
        "sampler-differs",
        "another order of the same rows",
        ("data_order",),
        _sampler_differs,
        "draw both orders from a separate generator with the same seed (Accelerate: "
        "use_seedable_sampler=True)",
        "accelerate#2057, accelerate#2333, transformers#11772",
        excluded_by=(
            RESUMED,
            OTHER_SEED,
            CounterEvidence(
                "one run reads the rows in the order of the set",
                "the row numbers, the setting `loader.sampler`",
                _in_order,
            ),
            CounterEvidence(
                "the processes of one run all read the same rows",
                "the row numbers of the first step, by process",
                _reads_all_rows,
            ),
            CounterEvidence(
                "one run repeats the order of its first epoch",
                "the row numbers of two epochs",
                _repeats_an_order,
            ),
            CounterEvidence(
                "the random generators had another state before the order differs",
                "the digests of the generators",
                _generator_differs_before,
            ),
            CounterEvidence(
                "both orders have one source, or one run draws no order",
                "the setting `loader.sampler`, the row numbers of two epochs",
                _one_source,
            ),
            CounterEvidence(
                "the batches are the same ones, or most neighbouring rows are kept",
                "the row numbers of each batch",
                _order_is_kept,
            ),
        ),
    ),
)
