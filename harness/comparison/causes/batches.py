"""Causes in the content of a batch: padding and labels."""

from __future__ import annotations

from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence

__all__ = ["RULES"]


def _padding(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("batch_content")
    if (
        place is None
        or evidence.resumed_at is not None
        or "batch_content" not in evidence.independent
    ):
        return None
    shapes = [run.circumstance(place.step, "shape") for run in evidence.runs]
    if not all(shapes) or shapes[0] == shapes[1]:
        return None
    widths = [shape[0][-1] for shape in shapes]
    return (
        f"at step {place.step} the same rows are {widths[1]} tokens wide in "
        f"{evidence.candidate.label} and {widths[0]} tokens wide in {evidence.reference.label}"
    )


def _labels_shifted(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("batch_content")
    if place is None or "data_order" in evidence.firsts:
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


RULES = (
    CauseRule(
        "padding-differs",
        "the same rows have different padding",
        ("batch_content",),
        _padding,
        "use the same padding and max_length in both",
    ),
    CauseRule(
        "labels-shifted-twice",
        "labels are shifted by the data and again by the model",
        ("batch_content", "loss"),
        _labels_shifted,
        "pass labels equal to input_ids; the model shifts them",
    ),
)
