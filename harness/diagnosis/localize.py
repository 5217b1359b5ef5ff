"""Replays of two runs up to the step in which they part, with their modules recorded there.

A replay is a run as others are, in a process of its own, of the `RunSpec` that stands in a record.
It must repeat its run bit for bit up to that step; where it does not, or where something that it
stands on is gone, that is said instead of an answer.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console

from harness.comparison.compare import compare
from harness.comparison.modules import compare_modules, why_not_localized
from harness.errors import RecordError, SpecError
from harness.execution.checkpoints import FOLDER
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import TIMEOUT_S, Run, run_all
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.results.folders import RECORDS
from harness.results.localization import Localization
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec import registry as catalogue
from harness.spec.case import label

__all__ = ["FindPair", "localize_pairs", "localize_report"]

FindPair = Callable[[Comparison], tuple[RunRecord, RunRecord] | None]


def localize_pairs(
    comparisons: Sequence[Comparison],
    find: FindPair,
    folder: Path,
    jobs: int | None,
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> list[Comparison]:
    """The comparisons, each with what looking into the modules gave or why nothing was looked into.

    `find` gives the records of a pair; the replays' go to `folder`. `jobs`, `timeout_s`: as for
    `run_all`. A replay that fails is told of with its pair.
    """
    answers: list[Localization | None] = []
    runs: dict[tuple[Path, int], Run] = {}
    for comparison in comparisons:
        pair = find(comparison)
        why = _why_not(comparison, pair)
        answers.append(Localization(note=why) if why else None)
        first = _first(comparison)
        if why or pair is None or first is None:
            continue
        for record in pair:
            place = (record.folder, first.step)
            if place not in runs:
                runs[place] = _replay(record, place[1], folder, {r.folder for r in runs.values()})
    for run in runs.values():
        shutil.rmtree(run.folder, ignore_errors=True)  # of a localization that was stopped
    with bars(list(runs.values()), console, experiments=True) as on_event:
        records = run_all(list(runs.values()), jobs, on_event, True, timeout_s)
    for run in runs.values():  # a run that is stopped keeps its checkpoints; nobody resumes this
        shutil.rmtree(run.folder / FOLDER, ignore_errors=True)
    replays = dict(zip(runs, records, strict=True))
    found = []
    for comparison, answer in zip(comparisons, answers, strict=True):
        pair = find(comparison)
        first = _first(comparison)
        if answer is None and pair is not None and first is not None:
            again = replays[pair[0].folder, first.step], replays[pair[1].folder, first.step]
            answer = _answer(comparison, pair, again, first.step)
        found.append(comparison.model_copy(update={"localization": answer}))
    return found


def _first(comparison: Comparison) -> Divergence | None:
    """The first value that differs, where any does: settings are computed by no module."""
    firsts = [each.first for each in comparison.stages if each.first and each.stage != "config"]
    return min(firsts, key=lambda first: first.place, default=comparison.first_divergence)


def _replay(record: RunRecord, step: int, folder: Path, taken: set[Path]) -> Run:
    spec = record.spec.model_copy(update={"stop_after": step, "localize_at": step})
    name = f"{spec.case.name}-{label(spec)}"
    path, number = folder / name, 1
    while path in taken:  # both sides of a pair may be called the same
        number += 1
        path = folder / f"{name}-{number}"
    return Run(spec, path)


def _why_not(comparison: Comparison, pair: tuple[RunRecord, RunRecord] | None) -> str:
    """Why there is nothing to replay for a pair; empty where there is."""
    if comparison.test:
        return "not localized: several seeds were compared as one; compare the runs of one seed"
    why = why_not_localized(_first(comparison), comparison.outcome)
    if why:
        return why
    if pair is None:
        return "not localized: the two are not both here"
    sizes = [record.spec.case.world_size for record in pair]
    if sizes[0] != sizes[1]:
        return (
            f"not localized: {sizes[0]} and {sizes[1]} processes cut a step into other "
            "micro-batches"
        )
    labels = (comparison.reference, comparison.candidate)
    reasons = [_missing(record, name) for record, name in zip(pair, labels, strict=True)]
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _missing(record: RunRecord, name: str) -> str:
    """What a replay of the run would stand on and is not here; empty where nothing is missing."""
    try:
        catalogue.loop(record.spec.loop)
    except SpecError as error:
        return f"{name} cannot be replayed: {error}"
    told = record.header.environment
    recorded = {"python": told.get("python"), **told.get("versions", {})}
    here = {name: _installed(name) for name in recorded} | {"python": platform.python_version()}
    others = [
        f"{package} {version}, and {here[package] or 'none'} is installed"
        for package, version in recorded.items()
        if version is not None and here[package] != version
    ]
    if others:
        return (
            f"{name} cannot be replayed: it was recorded with {'; '.join(others)}: install what "
            "it was recorded with, or run it again"
        )
    return ""


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _answer(
    comparison: Comparison,
    pair: tuple[RunRecord, RunRecord],
    again: tuple[RunRecord, RunRecord],
    step: int,
) -> Localization:
    names = (comparison.reference, comparison.candidate)
    for name, record, replay in zip(names, pair, again, strict=True):
        if replay.header.status not in ("stopped", "completed"):
            why = replay.header.error or replay.header.status
            return Localization(note=f"{name} could not be replayed: {why}")
        parting = compare(record, replay, (name, f"{name} again")).first_divergence
        if parting is not None:
            return Localization(
                note=f"{name} did not repeat itself: its replay departs at step {parting.step} in "
                f"{parting.stage}, so its modules say nothing"
            )
    try:
        return compare_modules(*again, step)
    except RecordError as error:
        return Localization(note=str(error))


def localize_report(
    report: Report,
    folder: Path,
    jobs: int | None,
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> Report:
    """The report, written anew, with the module in which each pair diverges first.

    On KeyboardInterrupt the report stays as it was, as do the replays that were complete.
    """
    records = {(r.case, r.loop): RunRecord(folder / r.record) for r in report.runs}

    def find(pair: Comparison) -> tuple[RunRecord, RunRecord] | None:
        if len(records) == 2:  # two records, which may be called otherwise in their pair
            one, two = records.values()
            return one, two
        found = [records.get((pair.case, name)) for name in (pair.reference, pair.candidate)]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    pairs = localize_pairs(report.comparisons, find, folder / RECORDS, jobs, console, timeout_s)
    whole = report.model_copy(update={"comparisons": tuple(pairs)})
    write(whole, folder)
    return whole
