"""Trains cases, compares their runs and writes the report, without a command line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.pairs import RecordPair, compare_pair, compare_seeded_pairs
from harness.comparison.variants import compare_variants
from harness.errors import DiskFull, RunFailed
from harness.execution.environments.variants import LibrarySet, interpreters
from harness.execution.nodes import Meeting, Node
from harness.execution.parent.plan import plan, runs_in
from harness.execution.parent.progress import bars
from harness.execution.parent.reuse import Left, left_to_make
from harness.execution.parent.runner import Run, run_all
from harness.execution.parent.slurm import check_slurm, run_on_slurm
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.folders import RECORDS, RunRecords, output_folder
from harness.results.metrics import Margin, parse_margins
from harness.results.record import HEADER, RunRecord
from harness.results.report import Report
from harness.spec.case import Case, RunSpec, label
from harness.spec.expand import is_variant
from harness.spec.request import RunRequest
from harness.spec.slurm import job_parameters
from harness.units import counted

__all__ = ["run_cases"]

_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


def run_cases(
    request: RunRequest,
    console: Console,
    command: Sequence[str] | None = None,
    node: Node | None = None,
    library_sets: Sequence[LibrarySet] = (),
) -> tuple[Report, Path]:
    """Train every case by every loop, compare each pair of loops, write the report.

    A loop named twice runs twice. If a case has arms, the first loop also runs with each. If it has
    noise, the first loop also runs perturbed, and each pair is compared with that noise. If it has
    a step to resume at, each loop also runs interrupted and is compared with its whole run. Cases
    that are seeds of one case are compared as one.

    `command`: the words that the report shows; None: those of the request. `node`: the first of
    several nodes; the others `follow`. `library_sets`: each case is trained with each of them.

    Raises `SpecError` and leaves nothing behind if the request does not fit. Raises `DiskFull`, and
    leaves completed records and no report, if there is no space. On KeyboardInterrupt,
    or if another node has left, the records stay and a report of them is written.
    """
    if request.executor == "slurm":
        check_slurm(request.option("executor", "slurm"))
    planned = plan(request, [each.name for each in library_sets])
    words = request.command_line() if command is None else command
    margins = parse_margins(request.margins)
    name = request.suite or _name(planned[0].case)
    with output_folder(request.out, name, request.reuses_out, resumable=True) as folder:
        runs = runs_in(folder, planned, interpreters(library_sets))
        meeting = Meeting(node, folder, request.timeout_s) if node else None
        jobs = 1 if node else request.jobs
        try:
            left = _left(request, folder, runs, console)
            led = meeting.led() if meeting else nullcontext()
            with bars(left.waiting, console) as on_event, led:
                if request.executor == "slurm":
                    options = job_parameters(request.slurm, request.option("slurm"))
                    timeout_s = request.timeout_s
                    run_on_slurm(left.waiting, options, folder, jobs, on_event, timeout_s)
                else:
                    patience = request.continues, request.timeout_s
                    run_all(left.waiting, jobs, on_event, *patience, meeting)
        except DiskFull:  # no report is made of what is incomplete
            raise
        except (KeyboardInterrupt, RunFailed):
            if any((run.folder / HEADER).is_file() for run in runs):
                _report_runs(runs, folder, words, margins)
            raise
        report = _report_runs(runs, folder, words, margins)
        return report, folder


def _left(request: RunRequest, folder: Path, runs: Sequence[Run], console: Console) -> Left:
    """The runs that are left to make, and one line for the user if the folder is used again."""
    if not (request.reuses_out and (folder / RECORDS).is_dir()):
        if request.suite is not None:
            text = f"Suite {request.suite}: {counted(len(runs), 'run')} in {folder}"
            same = "the same command" if request.out else f"the same command with --out {folder}"
            console.print(f"{text}; after a stop, {same} continues it", **_PLAIN)
        return Left(list(runs))
    left = left_to_make(folder, runs)
    console.print(left.line(folder), **_PLAIN)
    return left


def _name(case: Case) -> str:
    """The name of the case, or of the case that it was expanded from."""
    return case.libraries_of or case.seed_of or case.name


def _report_runs(
    runs: Sequence[Run], folder: Path, command: Sequence[str], margins: Mapping[str, Margin]
) -> Report:
    """Compare the runs that left a record, and write the report."""
    records = {
        (run.spec.case.name, label(run.spec)): RunRecord(run.folder)
        for run in runs
        if (run.folder / HEADER).is_file()  # an interrupted run may have left none
    }
    specs = [run.spec for run in runs]
    noises: dict[str, CaseNoise] = {}
    for spec in specs:
        if spec.perturbation is not None and spec.case.device_of not in (None, *noises):
            of_case = [each for each in specs if each.case.name == spec.case.name]
            noise = _noise_of(of_case, records)
            if noise is not None:
                noises[str(spec.case.device_of)] = noise
    comparisons = [
        *_compare_loops(specs, records, margins),
        *compare_variants(
            [
                (label(spec), spec.case, records.get((spec.case.name, label(spec))))
                for spec in specs
                if spec.perturbation is None
            ],
            margins,
            noises,
        ),
    ]
    # A completed draw is part of the noise band; a draw that failed is a failed run.
    shown = [
        (name, record)
        for (_, name), record in records.items()
        if record.run_spec.perturbation is None or record.header.status != "completed"
    ]
    report = Report.of(shown, comparisons, folder, command)
    write(report, folder)
    return report


def _compare_loops(
    specs: Sequence[RunSpec], records: RunRecords, margins: Mapping[str, Margin]
) -> list[Comparison]:
    """Compare the loops of each case with each other; the seeds of a case are one comparison."""
    comparisons = []
    seeds: dict[tuple[str, tuple[str, str]], dict[int, RecordPair]] = {}
    for case in dict.fromkeys(spec.case.name for spec in specs):
        of_case = [spec for spec in specs if spec.case.name == case]
        noise = _noise_of(of_case, records)
        for one, two in _pairs([spec for spec in of_case if spec.perturbation is None]):
            if is_variant(one.case) and two.resume_at is None:
                continue  # `compare_variants` compares each loop with itself
            labels = label(one), label(two)
            pair = records.get((case, labels[0])), records.get((case, labels[1]))
            if one.case.seed_of is None:
                comparisons.append(compare_pair(case, labels, pair, noise))
            else:
                by_seed = seeds.setdefault((one.case.seed_of, labels), {})
                by_seed[one.case.recipe.seed] = pair
    comparisons += [
        compare_seeded_pairs(case, labels, pairs, margins)
        for (case, labels), pairs in seeds.items()
    ]
    return comparisons


def _noise_of(specs: Sequence[RunSpec], records: RunRecords) -> CaseNoise | None:
    """The noise of a case, from its first run and its draws; None if it has none."""
    case = specs[0].case
    if case.noise is None:
        return None
    draws = [
        records[case.name, label(spec)]
        for spec in specs
        if spec.perturbation is not None and (case.name, label(spec)) in records
    ]
    first = next(spec for spec in specs if spec.perturbation is None)
    return CaseNoise(records.get((case.name, label(first))), draws)


def _pairs(specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, RunSpec]]:
    """Every pair of uninterrupted runs, and each resumed run with its uninterrupted run."""
    whole = [spec for spec in specs if spec.resume_at is None]
    yield from itertools.combinations(whole, 2)
    for resumed in specs:
        if resumed.resume_at is not None:
            for spec in whole:
                if (spec.loop, spec.repeat, spec.arm) == (resumed.loop, 1, None):
                    yield spec, resumed
