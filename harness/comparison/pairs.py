"""Compares a pair of runs, or two loops over several seeds; any record may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.compare import compare
from harness.comparison.names import Rename
from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.seeds import compare_seeds
from harness.results.comparison import Comparison, incomparable
from harness.results.metrics import Margin
from harness.results.record import RunRecord

__all__ = ["RecordPair", "compare_pair", "compare_seeded_pairs"]

RecordPair = tuple[RunRecord | None, RunRecord | None]
"""Reference and candidate; None for a run without a record."""


def compare_pair(
    case: str,
    labels: tuple[str, str],
    records: RecordPair,
    noise: CaseNoise | None = None,
    renames: Sequence[Rename] = (),
) -> Comparison:
    """Compare two runs, with the noise of their case if it is given; `renames` as in `compare`."""
    one, two = records
    if one is None or two is None:
        absent = labels[0] if one is None else labels[1]
        return incomparable(case, *labels, f"{absent} is missing; run it")
    comparison = compare(one, two, labels, renames)
    if noise is not None:
        comparison = noise.apply(comparison, one, two, renames)
    return comparison.model_copy(update={"case": case})


def compare_seeded_pairs(
    case: str,
    labels: tuple[str, str],
    pairs: Mapping[int, RecordPair],
    margins: Mapping[str, Margin],
) -> Comparison:
    """Compare two loops over the seeds of `pairs`, with `margins` for their final metrics."""
    reference: dict[int, RunRecord] = {}
    candidate: dict[int, RunRecord] = {}
    for seed, records in pairs.items():
        for name, runs, record in zip(labels, (reference, candidate), records, strict=True):
            if record is None:
                return incomparable(case, *labels, f"{name} with seed {seed} is missing; run it")
            runs[seed] = record
    return compare_seeds(case, labels, reference, candidate, margins)
