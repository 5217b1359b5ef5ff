"""What the commands do, without a command line: run cases or compare folders; leave a report."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from harness.comparison.compare import compare
from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.seeds import compare_seeds, parse_margins
from harness.comparison.variants import compare_with_itself
from harness.errors import RunFailed
from harness.execution.environments.variants import LibrarySet, interpreters
from harness.execution.nodes import Meeting, Node
from harness.execution.parent.plan import is_done, plan, runs_in
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import Run, run_all
from harness.report.write import write
from harness.results.comparison import Comparison, incomparable
from harness.results.folders import output_folder
from harness.results.metrics import Margin
from harness.results.record import HEADER, RunRecord
from harness.results.report import Report
from harness.spec.case import Case, label
from harness.spec.expand import is_variant
from harness.spec.request import RunRequest

__all__ = ["run_cases"]


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

    Raises `SpecError` and leaves nothing behind if the request does not fit. On KeyboardInterrupt,
    or if another node has left, the records stay and a report of them is written.
    """
    planned = plan(request, [each.name for each in library_sets])
    words = request.command_line() if command is None else command
    margins = parse_margins(request.margins)
    name = _name(planned[0].case)
    with output_folder(request.out, name, again=request.reuses_out) as folder:
        runs = runs_in(folder, planned, interpreters(library_sets))
        meeting = Meeting(node, folder, request.timeout_s) if node else None
        jobs = 1 if node else request.jobs
        try:
            waiting = [run for run in runs if not (request.reuses_out and is_done(run))]
            with bars(waiting, console) as on_event, meeting.led() if meeting else nullcontext():
                run_all(waiting, jobs, on_event, request.continues, request.timeout_s, meeting)
        except (KeyboardInterrupt, RunFailed):
            if any((run.folder / HEADER).is_file() for run in runs):
                _report_runs(runs, folder, words, margins)
            raise
        report = _report_runs(runs, folder, words, margins)
        return report, folder


def _name(case: Case) -> str:
    """Of a case, or of the one of which it is one among several."""
    return case.libraries_of or case.seed_of or case.name


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
            judge = CaseNoise(found.get(label(specs[0])), drawn)
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
            if is_variant(one.case) and two.resume_at is None:
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


def _pair(
    case: str,
    labels: tuple[str, str],
    one: RunRecord | None,
    two: RunRecord | None,
    judge: CaseNoise | None = None,
) -> Comparison:
    if one is None or two is None:
        absent = labels[0] if one is None else labels[1]
        return incomparable(case, *labels, f"{absent} is missing; run it")
    found = compare(one, two, labels)
    return judge.apply(found, one, two) if judge else found


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
                return incomparable(case, *labels, why)
            side[seed] = record
    return compare_seeds(case, labels, left, right, margins)
