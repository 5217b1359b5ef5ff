"""Two records or two output folders -> comparisons and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.run import _pair
from harness.comparison.seeds import compare_seeds
from harness.errors import RecordError
from harness.report.write import write
from harness.results.comparison import Comparison, incomparable
from harness.results.folders import RECORDS, RunRecords, folder_labels, output_folder, records_in
from harness.results.metrics import Margin
from harness.results.record import HEADER, RunRecord
from harness.results.report import Report

__all__ = ["compare_folders", "compare_pairs"]


def compare_folders(
    reference: Path,
    candidate: Path,
    out: Path | None,
    command: Sequence[str],
    margins: Mapping[str, Margin] | None = None,
    noise: Path | None = None,
) -> tuple[Report, Path]:
    """Compare two records, or two output folders run by run, and write the report.

    `noise`: the output folder of a run with draws, against which pairs of its cases are judged.
    Raises `SpecError` or `RecordError` where a path holds neither.
    """
    left, right = records_in(reference), records_in(candidate)
    judges = _judges(noise) if noise is not None else {}
    with output_folder(out, "compare") as folder:
        names = folder_labels(reference, candidate)
        comparisons = compare_pairs(left, right, names, margins or {}, judges)
        records = [
            (f"{side}: {name}", record)
            for side, found in zip(names, (left, right), strict=True)
            for (_, name), record in found.items()
        ]
        report = Report.of(records, comparisons, folder, command)
        write(report, folder)
    return report, folder


def compare_pairs(
    left: RunRecords,
    right: RunRecords,
    names: tuple[str, str],
    margins: Mapping[str, Margin] | None = None,
    judges: Mapping[str, CaseNoise] | None = None,
) -> list[Comparison]:
    """Pairs of runs by case and loop; a run that only one side has is `incomparable`.

    A single record on each side is a pair, whatever its loop. A case with a judge is judged. The
    seeds of a case are one side of one pair, judged within `margins`.
    """
    judges = judges or {}
    if len(left) == len(right) == 1:
        (one,), (two,) = left.items(), right.items()
        labels = (one[0][1], two[0][1])
        if labels[0] == labels[1]:
            labels = names
        return [_pair(two[0][0], labels, one[1], two[1], judges.get(one[0][0]))]
    left_seeds, right_seeds = _by_seed(left), _by_seed(right)
    comparisons = [
        _pair(case, (f"{names[0]}: {loop}", f"{names[1]}: {loop}"), *sides, judges.get(case))
        for case, loop in dict.fromkeys([*left, *right])
        for sides in [(left.get((case, loop)), right.get((case, loop)))]
        if all(side is None or side.spec.case.seed_of is None for side in sides)
    ]
    for case, loop in dict.fromkeys([*left_seeds, *right_seeds]):
        labels = f"{names[0]}: {loop}", f"{names[1]}: {loop}"
        ours, theirs = left_seeds.get((case, loop)), right_seeds.get((case, loop))
        if ours is None or theirs is None:
            absent = labels[0] if ours is None else labels[1]
            comparisons.append(incomparable(case, *labels, f"{absent} is missing; run it"))
        else:
            comparisons.append(compare_seeds(case, labels, ours, theirs, margins or {}))
    return comparisons


def _by_seed(found: RunRecords) -> dict[tuple[str, str], dict[int, RunRecord]]:
    """Runs that are seeds of a case, by case and loop."""
    sides: dict[tuple[str, str], dict[int, RunRecord]] = {}
    for (_, loop), record in found.items():
        case = record.spec.case
        if case.seed_of is not None:
            sides.setdefault((case.seed_of, loop), {})[case.recipe.seed] = record
    return sides


def _judges(folder: Path) -> dict[str, CaseNoise]:
    """By case, what judges against the draws in the output folder of a run with noise."""
    records = [RunRecord(path.parent) for path in sorted((folder / RECORDS).glob(f"*/{HEADER}"))]
    draws: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.spec.perturbation is not None:
            draws.setdefault(record.spec.case.name, []).append(record)
    if not draws:
        raise RecordError("--noise takes a run folder with draws", folder, "make it with --noise 8")
    judges = {}
    for case, found in draws.items():
        undisturbed = found[0].spec.model_copy(update={"perturbation": None})
        reference = next((record for record in records if record.spec == undisturbed), None)
        judges[case] = CaseNoise(reference, found)
    return judges
