"""Compares two records or two output folders, and writes the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.comparison.log_folders import compare_log_folders
from harness.comparison.names import Rename, named_tensors
from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.pairs import compare_pair
from harness.comparison.seeds import compare_seeds
from harness.errors import RecordError, SpecError
from harness.report.write import write
from harness.results.comparison import Comparison, incomparable
from harness.results.folders import RECORDS, RunRecords, folder_labels, output_folder, records_in
from harness.results.imported.read import is_log
from harness.results.metrics import Margin
from harness.results.record import HEADER, RunRecord
from harness.results.report import Report
from harness.spec.case import RunSpec
from harness.spec.command import CommandSpec

__all__ = ["compare_folders", "compare_pairs"]


def compare_folders(
    reference: Path,
    candidate: Path,
    out: Path | None,
    command: Sequence[str],
    margins: Mapping[str, Margin] | None = None,
    noise: Path | None = None,
    renames: Sequence[Rename] = (),
) -> tuple[Report, Path]:
    """Compare two records, or two output folders run by run, and write the report.

    Either may be the log of a run that was not traced: it is compared as far as it goes.

    `noise`: the output folder of a run with draws, whose noise applies to the pairs of its cases.
    `renames`: prefixes of parameter names in the candidate, and what replaces them. Raises
    `SpecError` or `RecordError` if a path holds neither a record nor an output folder.
    """
    if is_log(reference) or is_log(candidate):
        given = {"--margin": margins, "--noise": noise, "--rename": renames}
        options = [name for name, value in given.items() if value]
        return compare_log_folders(reference, candidate, out, command, options)
    left, right = records_in(reference), records_in(candidate)
    noises = _noises(noise) if noise is not None else {}
    _check_renames(renames, right)
    _check_common(left, right)
    with output_folder(out, "compare") as folder:
        names = folder_labels(reference, candidate)
        comparisons = compare_pairs(left, right, names, margins or {}, noises, renames)
        records = [
            (f"{folder_name}: {name}", record)
            for folder_name, found in zip(names, (left, right), strict=True)
            for (_, name), record in found.items()
        ]
        notes = [*_without_runs(reference, left), *_without_runs(candidate, right)]
        report = Report.of(records, comparisons, folder, command, notes=notes)
        write(report, folder)
    return report, folder


def _without_runs(path: Path, found: RunRecords) -> list[str]:
    """That a folder holds nothing to compare, and why."""
    if found:
        return []
    return [f"{path} holds no record of a training. {' '.join(Report.read(path).notes)}".rstrip()]


def _check_common(left: RunRecords, right: RunRecords) -> None:
    """Raises `SpecError` if the two folders hold no two runs to compare."""
    if min(len(left), len(right)) < 2 or left.keys() & right.keys():
        return
    if _trainings(left) and _trainings(right):
        return
    names = [
        (sorted({case for case, _ in found}), sorted({loop for _, loop in found}))
        for found in (left, right)
    ]
    place = 0 if names[0][0] != names[1][0] else 1  # the cases, or else the loops
    met = " and ".join(", ".join(each[place]) for each in names)
    kind = ("cases", "loops")[place]
    raise SpecError(
        "two folders are compared run by run, each with the run of the same case and loop",
        f"{kind} {met}",
        "pass folders of the same, or a single record of each",
    )


def _check_renames(renames: Sequence[Rename], candidate: RunRecords) -> None:
    """Raises `SpecError` if no parameter of the candidate has the prefix of a rename."""
    for old, new in renames:
        names: list[str] = []
        for record in candidate.values():
            try:
                names += named_tensors(record)
            except RecordError:
                return  # reported as the reason why the pair is incomparable
        if not any(name.startswith(old) for name in names):
            known = f"its names are like {names[0]}" if names else "it has no names"
            rule = "--rename takes the beginning of a parameter name of the candidate"
            raise SpecError(rule, f"{old}={new}", known)


def compare_pairs(
    left: RunRecords,
    right: RunRecords,
    names: tuple[str, str],
    margins: Mapping[str, Margin] | None = None,
    noises: Mapping[str, CaseNoise] | None = None,
    renames: Sequence[Rename] = (),
) -> list[Comparison]:
    """Compare the runs of two folders by case and loop; a run in only one is `incomparable`.

    Two single records are a pair, whatever their loops. A single command is compared with each run
    of the other folder. Of two commands with several trainings each, the first ones are a pair, the
    second ones, and so on. `noises` holds the noise of some cases. The seeds of a case are one
    comparison, with `margins` for the final metrics.
    """
    noises = noises or {}
    if not left or not right:
        return _without_training(left, right, names)
    if len(left) == len(right) == 1:
        (one,), (two,) = left.items(), right.items()
        labels = (one[0][1], two[0][1])
        if labels[0] == labels[1]:
            labels = names
        pair = one[1], two[1]
        noise = noises.get(one[0][0], noises.get(two[0][0]))  # two commands have two names
        return [compare_pair(two[0][0], labels, pair, noise, renames)]
    single = left if len(left) == 1 else right
    if left and right and len(single) == 1 and _is_command(single):
        return [
            compare_pair(
                case, (f"{names[0]}: {loop}", f"{names[1]}: {other}"), (one, two), None, renames
            )
            for (_, loop), one in left.items()
            for (case, other), two in right.items()
        ]
    if not left.keys() & right.keys() and _trainings(left) and _trainings(right):
        return _compare_trainings(_trainings(left), _trainings(right), names, renames)
    left_seeds, right_seeds = _by_seed(left), _by_seed(right)
    comparisons = [
        compare_pair(
            case,
            (f"{names[0]}: {loop}", f"{names[1]}: {loop}"),
            pair,
            noises.get(case),
            renames,
        )
        for case, loop in dict.fromkeys([*left, *right])
        for pair in [(left.get((case, loop)), right.get((case, loop)))]
        if not any(_is_seed(record) for record in pair)
    ]
    for case, loop in dict.fromkeys([*left_seeds, *right_seeds]):
        labels = f"{names[0]}: {loop}", f"{names[1]}: {loop}"
        one_loop, other_loop = left_seeds.get((case, loop)), right_seeds.get((case, loop))
        if one_loop is None or other_loop is None:
            absent = labels[0] if one_loop is None else labels[1]
            comparisons.append(incomparable(case, *labels, f"{absent} is missing; run it"))
        else:
            comparisons.append(compare_seeds(case, labels, one_loop, other_loop, margins or {}))
    return comparisons


def _without_training(
    left: RunRecords, right: RunRecords, names: tuple[str, str]
) -> list[Comparison]:
    """The runs of one folder beside another that holds none."""
    why = f"{names[0] if right else names[1]} recorded no training"
    return [
        incomparable(case, names[0] if right else label, label if right else names[1], why)
        for (case, loop) in left or right
        for label in [f"{names[bool(right)]}: {loop}"]
    ]


def _compare_trainings(
    left: Mapping[str, RunRecord],
    right: Mapping[str, RunRecord],
    names: tuple[str, str],
    renames: Sequence[Rename],
) -> list[Comparison]:
    """Compare the trainings of two commands by their numbers."""
    comparisons = []
    for number in dict.fromkeys([*left, *right]):
        one, two = left.get(number), right.get(number)
        labels = [
            f"{name}: {record.spec.run_label if record else f'training {number[1:] or 1}'}"
            for name, record in zip(names, (one, two), strict=True)
        ]
        shown = two or one
        assert shown is not None
        case = shown.spec.case_name
        comparisons.append(compare_pair(case, (labels[0], labels[1]), (one, two), None, renames))
    return comparisons


def _trainings(found: RunRecords) -> dict[str, RunRecord]:
    """The trainings of one command, by what stands behind its name, as `-2`; none if of others."""
    specs = [record.spec for record in found.values()]
    commands = {spec.command for spec in specs if isinstance(spec, CommandSpec)}
    name = min((spec.case_name for spec in specs), key=len, default="")
    labels = [record.spec.run_label for record in found.values()]
    if len(commands) != 1 or not all(map(_is_traced, specs)):
        return {}
    if not all(label.startswith(name) for label in labels):
        return {}
    return {
        label.removeprefix(name): one for label, one in zip(labels, found.values(), strict=True)
    }


def _is_traced(spec: RunSpec | CommandSpec) -> bool:
    return isinstance(spec, CommandSpec) and spec.source == "command" and not spec.draw_suffix


def _is_command(found: RunRecords) -> bool:
    return all(isinstance(record.spec, CommandSpec) for record in found.values())


def _is_seed(record: RunRecord | None) -> bool:
    """Whether a run is one of several seeds of a case."""
    if record is None or not isinstance(record.spec, RunSpec):
        return False
    return record.spec.case.seed_of is not None


def _by_seed(found: RunRecords) -> dict[tuple[str, str], dict[int, RunRecord]]:
    """The runs that are seeds of a case, by case and loop."""
    seeds: dict[tuple[str, str], dict[int, RunRecord]] = {}
    for (_, loop), record in found.items():
        if isinstance(record.spec, RunSpec) and record.spec.case.seed_of is not None:
            case = record.spec.case
            seeds.setdefault((record.spec.case.seed_of, loop), {})[case.recipe.seed] = record
    return seeds


def _noises(folder: Path) -> dict[str, CaseNoise]:
    """The noise of each case or command with draws in the output folder of a run with noise."""
    records = [RunRecord(path.parent) for path in sorted((folder / RECORDS).glob(f"*/{HEADER}"))]
    draws: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.spec.perturbation is not None:
            draws.setdefault(record.spec.case_name, []).append(record)
    if not draws:
        raise RecordError("--noise takes a run folder with draws", folder, "make it with --noise 8")
    noises = {}
    for case, found in draws.items():
        unperturbed = found[0].spec.model_copy(update={"perturbation": None})
        reference = next((record for record in records if record.spec == unperturbed), None)
        noises[case] = CaseNoise(reference, found)
    return noises
