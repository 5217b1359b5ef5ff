"""Causes in the content of a batch: padding and labels."""

from __future__ import annotations

import pyarrow.compute as pc

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.counter_evidence import COLLATOR_DRAWS, OTHER_SEED, RESUMED
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.results.arrow import int32

__all__ = ["RULES"]


def _padding(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("batch_content")
    if place is None or "batch_content" not in evidence.independent:
        return None
    shapes = [run.circumstance(place.step, "shape") for run in evidence.runs]
    if not all(shapes) or shapes[0] == shapes[1]:
        return None
    number = next(
        (n for n, (one, two) in enumerate(zip(*shapes, strict=False)) if one != two), None
    )
    if number is None:
        return None
    widths = [shape[number][-1] for shape in shapes]
    return (
        f"at step {place.step} the same rows are {widths[1]} tokens wide in "
        f"{evidence.candidate.label} and {widths[0]} tokens wide in {evidence.reference.label}"
    )


def _rows_differ(evidence: Evidence) -> bool:
    """Whether a row has other tokens, or the two have other rows in a batch."""
    place = evidence.firsts.get("batch_content")
    if place is None:
        return False
    one, two = (_row_digests(run, place.step) for run in evidence.runs)
    return one is not None and two is not None and one != two


def _row_digests(run: RunView, step: int) -> list[list[int]] | None:
    """The digests of the rows of each micro-batch, without padding; None if not recorded."""
    table = run.record.micro_batches
    found = table["rows"].filter(pc.equal(table["step"], int32(step))).to_pylist()
    return None if None in found else found


def _draws_in_workers(evidence: Evidence) -> str | None:
    """The collator draws random numbers, and the two runs collate in other processes."""
    setting = evidence.settings.get("loader.num_workers")
    if setting is None or evidence.first_stage not in ("batch_content", "rng", "loss"):
        return None
    if evidence.step != 1:
        return None
    one, two = (_workers(count) for count in (setting.reference, setting.candidate))
    return (
        f"the collator draws random numbers, in {two} in {evidence.candidate.label} and in {one} "
        f"in {evidence.reference.label}"
    )


def _workers(count: int) -> str:
    return "the training process" if not count else f"{count} worker{'s' * (count > 1)}"


def _collator_draws_nothing(evidence: Evidence) -> bool:
    return not any(run.setting("collator.draws") for run in evidence.runs)


def _labels_shifted(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("batch_content")
    if place is None:
        return None
    for run, other in evidence.ordered_pairs:
        ours, theirs = (s.circumstance(place.step, "labels") for s in (run, other))
        rows = [len(ids) for _, _, ids in other.batches_at(place.step)]
        same_shape = run.circumstance(place.step, "shape") == other.circumstance(
            place.step, "shape"
        )
        shifts = other.circumstance(place.step, "targets") != theirs
        if (
            same_shape
            and shifts
            and theirs
            and ours == [count - n for count, n in zip(theirs, rows, strict=False)]
        ):
            return (
                f"at step {place.step} each row has one label fewer in {run.label} than in "
                f"{other.label}: the labels were shifted before the model shifts them"
            )
    return None


def _other_order(evidence: Evidence) -> bool:
    return "data_order" in evidence.firsts


RULES = (
    CauseRule(
        "padding-differs",
        "the same rows have different padding",
        ("batch_content",),
        _padding,
        "pad in both to the same length",
        excluded_by=(
            RESUMED,
            COLLATOR_DRAWS,
            CounterEvidence(
                "the rows hold other tokens, such as rows that are cut at another length",
                "the digests of the rows without padding",
                _rows_differ,
            ),
        ),
    ),
    CauseRule(
        "collator-draws-in-workers",
        "a collator that draws random numbers runs in other processes",
        ("batch_content", "rng", "loss"),
        _draws_in_workers,
        "use the same number of workers, or give the collator its own generator",
        excluded_by=(
            OTHER_SEED,
            CounterEvidence(
                "the collator draws no random number",
                "the setting `collator.draws`",
                _collator_draws_nothing,
            ),
        ),
    ),
    CauseRule(
        "labels-shifted-twice",
        "labels are shifted by the data and again by the model",
        ("batch_content", "loss"),
        _labels_shifted,
        "pass labels equal to input_ids; the model shifts them",
        excluded_by=(
            CounterEvidence(
                "the two train on other rows", "the row numbers of each batch", _other_order
            ),
        ),
    ),
)
