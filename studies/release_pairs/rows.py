"""Compares the runs with one release with those of its neighbour: a row for each mode and loop."""

from __future__ import annotations

from typing import Any

from harness.comparison.compare import compare
from harness.errors import RecordError
from harness.report.text.causes import because
from harness.results.comparison import Comparison
from harness.results.divergence import shown_value
from studies.release_pairs.train import LOOPS, MODES, Trained

__all__ = ["DIFFERENT", "IDENTICAL", "UNKNOWN", "loops_alike", "moved", "place_of", "rows_of"]

IDENTICAL, DIFFERENT, UNKNOWN = "identical", "different", "not compared"
_VERSIONS = "versions."


def moved(one: Trained, two: Trained, library: str) -> dict[str, list[str | None]]:
    """The other packages whose versions differ: both versions, None where a package is absent."""
    names = sorted({*one.versions, *two.versions} - {library})
    pairs = {name: [one.versions.get(name), two.versions.get(name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def rows_of(one: Trained, two: Trained) -> list[dict[str, Any]]:
    """What each loop in each mode computes with `two`, compared with the same under `one`."""
    return [_row(one, two, mode, loop) for mode in MODES for loop in LOOPS]


def _row(one: Trained, two: Trained, mode: str, loop: str) -> dict[str, Any]:
    row: dict[str, Any] = {"mode": mode, "loop": loop}
    try:
        records = [each.record(mode, loop) for each in (one, two)]
    except RecordError as error:
        return {**row, "outcome": UNKNOWN, "why": str(error)}
    failed = [
        f"{record.header.status}: {record.header.error}"
        for record in records
        if record.header.status != "completed"
    ]
    if failed:
        return {**row, "outcome": UNKNOWN, "why": "; ".join(failed)}
    pair = compare(records[0], records[1], ("reference", "candidate"))
    settings = {
        each.name: [each.reference, each.candidate]
        for each in pair.settings
        if not each.name.startswith(_VERSIONS)
    }
    row |= {"settings": settings} if settings else {}
    if pair.outcome == IDENTICAL:
        return {**row, "outcome": IDENTICAL, "steps": pair.steps}
    if pair.first_divergence is None:
        return {**row, "outcome": UNKNOWN, "why": "; ".join(pair.doubts) or pair.outcome}
    return {**row, "outcome": DIFFERENT, "steps": pair.steps, **_difference(pair)}


def _difference(pair: Comparison) -> dict[str, Any]:
    """The first place that differs, the stages that differ, and the cause that is named."""
    first = pair.first_divergence
    assert first is not None
    return {
        "step": first.step,
        "micro_batch": first.micro_batch,
        "stage": first.stage,
        "tensor": first.tensor,
        "values": [shown_value(first.reference), shown_value(first.candidate)],
        "detail": first.detail,
        "stages": {
            each.stage: [each.differing, each.compared]
            for each in pair.stages
            if each.differing and each.stage != "config"
        },
        "causes": [cause.id for cause in pair.causes if not cause.consistent_with],
        "consistent_with": [list(c.consistent_with) for c in pair.causes if c.consistent_with],
        "because": because(pair),
    }


def place_of(row: dict[str, Any]) -> str:
    """The outcome of a row in a few words."""
    if row["outcome"] != DIFFERENT:
        return str(row["outcome"])
    tensor = f" of {row['tensor']}" if row["tensor"] else ""
    return f"step {row['step']}, {row['stage']}{tensor}"


def loops_alike(trained: Trained) -> bool | None:
    """Whether the matched loops compute the same under one release; None: not all have ended."""
    try:
        records = [trained.record(MODES[0], loop) for loop in LOOPS]
    except RecordError:
        return None
    if any(record.header.status != "completed" for record in records):
        return None
    pairs = [compare(records[0], other, ("plain", "other")) for other in records[1:]]
    return all(pair.outcome == IDENTICAL for pair in pairs)
