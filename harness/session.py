"""What the commands do, without a command line: run cases or compare folders; leave a report."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.against_itself import compare_with_itself, is_one_of_several
from harness.compare import Comparison, compare, missing
from harness.digging import FindPair, dug
from harness.errors import RecordError, RunFailed
from harness.folders import Found, output_folder, records_in, short_names
from harness.metrics import Margin
from harness.nodes import Meeting, Node
from harness.noise_runs import Judge
from harness.plan import RECORDS, is_done, plan, runs_in
from harness.progress import bars
from harness.record import HEADER, RunRecord
from harness.report.files import write
from harness.report.model import Report
from harness.runner import TIMEOUT_S, Run, label, run_all
from harness.seeds import compare_seeds
from harness.spec import Case, Conventions, Detail

__all__ = ["compare_folders", "compare_pairs", "run_cases"]


def run_cases(
    cases: Sequence[Case],
    loops: Sequence[str],
    conventions: Conventions,
    jobs: int | None,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    suite: bool = False,
    resume: bool = False,
    timeout_s: float = TIMEOUT_S,
    launcher: str = "torchrun",
    launcher_config: Path | None = None,
    margins: Mapping[str, Margin] | None = None,
    node: Node | None = None,
    dig: bool = False,
    detail: Detail = "full",
    pythons: Mapping[str, str | None] | None = None,
) -> tuple[Report, Path]:
    """Train every case by every loop, compare each pair of loops, write the report.

    A loop named twice runs twice. Where a case has arms, the first loop also runs by each; where it
    asks for noise, the first loop also runs perturbed, and pairs are judged against that. Where a
    case is to be resumed, each loop also runs so, and is compared with itself uninterrupted. Cases
    that are seeds of one are compared as one, within `margins` where those are given.

    With `dig`, pairs that part are replayed up to there and compared module by module.

    `jobs`, `timeout_s`: as for `run_all`. A `suite` goes on past a case that is refused. With
    `suite` or `resume`, `out` may be a folder of the same, stopped earlier: what was completed
    there stays, and what left a checkpoint goes on. `node`: the first of several, if any; then one
    run is made at a time, and the others `follow`. `detail`: how much each trace holds. `pythons`:
    the interpreter of each set of libraries that cases name.

    Raises `SpecError` with nothing left behind where something does not fit; on KeyboardInterrupt,
    or where another node has left, the records stay and a report of them is written.
    """
    planned = plan(cases, loops, conventions, launcher, launcher_config, node, detail)
    with output_folder(out, _name(cases[0]), again=suite or resume) as folder:
        runs = runs_in(folder, planned, pythons or {})
        meeting = Meeting(node, folder, timeout_s) if node else None
        try:
            waiting = [run for run in runs if not ((suite or resume) and is_done(run))]
            with bars(waiting, console) as on_event, meeting.led() if meeting else nullcontext():
                run_all(waiting, 1 if node else jobs, on_event, suite, timeout_s, meeting)
        except (KeyboardInterrupt, RunFailed):
            if any((run.folder / HEADER).is_file() for run in runs):
                _report_runs(runs, folder, command, margins or {})
            raise
        report = _report_runs(runs, folder, command, margins or {})
        if dig:
            records = {(r.case, r.loop): RunRecord(folder / r.record) for r in report.runs}
            find = partial(_both, records)
            report = _with_dig(report, find, folder, jobs, console, timeout_s)
        return report, folder


def _name(case: Case) -> str:
    """Of a case, or of the one of which it is one among several."""
    return case.libraries_of or case.seed_of or case.name


def _both(
    records: Mapping[tuple[str, str], RunRecord], pair: Comparison
) -> tuple[RunRecord, RunRecord] | None:
    """The records of a pair, out of those by case and label; None where one is not there."""
    found = [records.get((pair.case, name)) for name in (pair.reference, pair.candidate)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _with_dig(
    report: Report,
    find: FindPair,
    folder: Path,
    jobs: int | None,
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> Report:
    """The report, written anew, with what looking into modules gave for each pair.

    On KeyboardInterrupt the report stays as it was, as do the replays that were complete.
    """
    pairs = dug(report.comparisons, find, folder / RECORDS, jobs, console, timeout_s)
    whole = report.model_copy(update={"comparisons": tuple(pairs)})
    write(whole, folder)
    return whole


def _report_runs(
    runs: Sequence[Run], folder: Path, command: Sequence[str], margins: Mapping[str, Margin]
) -> Report:
    records = [
        (label(run.spec), RunRecord(run.folder))
        for run in runs
        if (run.folder / HEADER).is_file()  # an interrupted one may have left none
    ]
    comparisons = []
    seeds: dict[tuple[str, tuple[str, str]], dict[int, Sides]] = {}
    for case in dict.fromkeys(run.spec.case.name for run in runs):
        found = {name: record for name, record in records if record.spec.case.name == case}
        specs = [run.spec for run in runs if run.spec.case.name == case]
        draws = [spec for spec in specs if spec.perturbation is not None]
        specs = [spec for spec in specs if spec.perturbation is None]
        judge = None
        if specs[0].case.noise is not None:
            drawn = [found[label(draw)] for draw in draws if label(draw) in found]
            judge = Judge(found.get(label(specs[0])), drawn)
        whole = [spec for spec in specs if spec.resume_at is None]
        pairs = list(itertools.combinations(whole, 2))
        pairs += [
            (one, two)
            for two in specs
            for one in whole
            if two.resume_at is not None and (one.loop, one.repeat, one.arm) == (two.loop, 1, None)
        ]
        for one, two in pairs:
            names = (label(one), label(two))
            sides = found.get(names[0]), found.get(names[1])
            if is_one_of_several(one.case) and two.resume_at is None:
                continue  # each loop is compared with itself elsewhere instead
            if one.case.seed_of is None:
                comparisons.append(_pair(case, names, *sides, judge))
            else:
                pair = seeds.setdefault((one.case.seed_of, names), {})
                pair[one.case.recipe.seed] = sides
    comparisons += [_seeds(case, names, pair, margins) for (case, names), pair in seeds.items()]
    there = {(record.spec.case.name, name): record for name, record in records}
    comparisons += compare_with_itself(
        [
            (label(run.spec), run.spec.case, there.get((run.spec.case.name, label(run.spec))))
            for run in runs
        ],
        margins,
    )
    # Draws that went well are told of as noise; one that failed is a run that failed.
    shown = [
        (name, record)
        for name, record in records
        if record.spec.perturbation is None or record.header.status != "completed"
    ]
    report = Report.of(shown, comparisons, folder, command)
    write(report, folder)
    return report


def compare_folders(
    reference: Path,
    candidate: Path,
    out: Path | None,
    command: Sequence[str],
    margins: Mapping[str, Margin] | None = None,
    noise: Path | None = None,
    dig: Console | None = None,
) -> tuple[Report, Path]:
    """Compare two records, or two output folders run by run, and write the report.

    `dig`: replay pairs that part up to there, with progress on it, and compare their modules.

    `noise`: the output folder of a run with draws, against which pairs of its cases are judged.
    Raises `SpecError` or `RecordError` where a path holds neither.
    """
    left, right = records_in(reference), records_in(candidate)
    judges = _judges(noise) if noise is not None else {}
    with output_folder(out, "compare") as folder:
        names = short_names(reference, candidate)
        comparisons = compare_pairs(left, right, names, margins or {}, judges)
        records = [
            (f"{side}: {name}", record)
            for side, found in zip(names, (left, right), strict=True)
            for (_, name), record in found.items()
        ]
        report = Report.of(records, comparisons, folder, command)
        write(report, folder)
        if dig is not None:
            found = {(r.spec.case.name, name): r for name, r in records}
            find: FindPair = partial(_both, found)
            if len(left) == len(right) == 1:  # which are called by other names
                (one,), (two,) = left.values(), right.values()
                find = lambda _pair: (one, two)  # noqa: E731  # a name would say no more
            report = _with_dig(report, find, folder, None, dig)
    return report, folder


def compare_pairs(
    left: Found,
    right: Found,
    names: tuple[str, str],
    margins: Mapping[str, Margin] | None = None,
    judges: Mapping[str, Judge] | None = None,
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
            comparisons.append(missing(case, *labels, f"{absent} is missing; run it"))
        else:
            comparisons.append(compare_seeds(case, labels, ours, theirs, margins or {}))
    return comparisons


def _by_seed(found: Found) -> dict[tuple[str, str], dict[int, RunRecord]]:
    """Runs that are seeds of a case, by case and loop."""
    sides: dict[tuple[str, str], dict[int, RunRecord]] = {}
    for (_, loop), record in found.items():
        case = record.spec.case
        if case.seed_of is not None:
            sides.setdefault((case.seed_of, loop), {})[case.recipe.seed] = record
    return sides


def _pair(
    case: str,
    labels: tuple[str, str],
    one: RunRecord | None,
    two: RunRecord | None,
    judge: Judge | None = None,
) -> Comparison:
    if one is None or two is None:
        absent = labels[0] if one is None else labels[1]
        return missing(case, *labels, f"{absent} is missing; run it")
    found = compare(one, two, labels)
    return judge(found, one, two) if judge else found


def _judges(folder: Path) -> dict[str, Judge]:
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
        judges[case] = Judge(reference, found)
    return judges


Sides = tuple[RunRecord | None, RunRecord | None]


def _seeds(
    case: str, labels: tuple[str, str], pairs: Mapping[int, Sides], margins: Mapping[str, Margin]
) -> Comparison:
    left: dict[int, RunRecord] = {}
    right: dict[int, RunRecord] = {}
    for seed, sides in pairs.items():
        for label_of, side, record in zip(labels, (left, right), sides, strict=True):
            if record is None:
                why = f"{label_of} with seed {seed} is missing; run it"
                return missing(case, *labels, why)
            side[seed] = record
    return compare_seeds(case, labels, left, right, margins)
