"""What `harness bisect` does, without a command line: few runs, each with another release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console

from harness.comparison.compare import compare
from harness.diagnosis.bisection import first_differing_place
from harness.errors import SpecError
from harness.execution.environments.interpreter import Libraries, differing
from harness.execution.environments.releases import Releases, between
from harness.execution.environments.venv import environment_with
from harness.execution.parent.plan import is_done, plan, runs_in
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import TIMEOUT_S, run_all
from harness.report.text.causes import because
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.folders import output_folder
from harness.results.record import HEADER, RunRecord
from harness.results.report import Report, Verdict
from harness.results.upgrade import BisectResult, PackageChange, Skipped
from harness.spec.case import Case, label
from harness.spec.recipe import Conventions

__all__ = ["BisectRequest", "bisect"]

Outcome = Literal["same", "different"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class BisectRequest:
    """What is looked for, and between what."""

    case: Case
    loops: Sequence[str]
    conventions: Conventions
    package: str
    good: str
    bad: str
    environments: Path | None = None
    timeout_s: float = TIMEOUT_S


class _Tried:
    """The case trained with releases of the package, each compared with the good one."""

    def __init__(self, asked: BisectRequest, folder: Path, console: Console, say: Say) -> None:
        self._asked, self._folder, self._console, self._say = asked, folder, console, say
        self.records: dict[str, dict[str, RunRecord]] = {}
        """By version, by loop."""
        self.comparisons: dict[str, list[Comparison]] = {}
        self.skipped: dict[str, str] = {}
        self.libraries: dict[str, Libraries] = {}

    def train(self, version: str) -> bool:
        """Whether all loops were trained with that version; if not, why is kept in `skipped`.

        Raises `SpecError` where one of the two ends cannot be trained with as asked.
        """
        asked = self._asked
        self._say(f"{asked.package} {version}")
        wanted = Requirement(f"{asked.package}=={version}")
        case = self._case(version)
        specs = plan([case], asked.loops, asked.conventions, "torchrun", None, None)
        try:
            libraries = environment_with([wanted], asked.environments, self._say)
            self.libraries[version] = libraries
            runs = runs_in(self._folder, specs, {case.libraries or "": libraries.python})
            waiting = [run for run in runs if not is_done(run)]
            with bars(waiting, self._console) as on_event:
                run_all(waiting, None, on_event, timeout_s=asked.timeout_s)
        except SpecError as error:
            if version in (asked.good, asked.bad):
                raise
            self.skipped[version] = str(error)
            return False
        made = {label(run.spec): RunRecord(run.folder) for run in runs}
        self.records[version] = made
        broken = [
            f"{name} {record.header.status}: {record.header.error}"
            for name, record in made.items()
            if record.header.status != "completed"
        ]
        if broken:
            self.skipped[version] = "; ".join(broken)
        return not broken

    def _case(self, version: str) -> Case:
        case, package = self._asked.case, canonicalize_name(self._asked.package)
        return case.model_copy(
            update={
                "name": f"{case.name}-{package}-{version}",
                "libraries_of": case.name,
                "libraries": f"{package} {version}",
            }
        )

    def judge(self, version: str, against: str | None = None) -> Outcome | None:
        """Whether it trains as the good one does, or as `against`; None: it cannot be told."""
        reference = against or self._asked.good
        if version not in self.records and not self.train(version):
            return None
        if version in self.skipped:
            return None
        found = self._compared(reference, version)
        if against is None:
            self.comparisons[version] = found
        if any(pair.outcome == "different" for pair in found):
            return "different"
        doubtful = [pair for pair in found if pair.outcome != "identical"]
        if doubtful:
            why = "; ".join(doubtful[0].doubts)
            self.skipped.setdefault(version, f"{doubtful[0].outcome}: {why}")
            return None
        return "same"

    def moved_along(self, one: str, two: str) -> tuple[PackageChange, ...]:
        """Other packages whose versions differ between the environments of two versions."""
        found = differing([self.libraries[one], self.libraries[two]])
        found.pop(canonicalize_name(self._asked.package), None)
        return tuple(PackageChange(name=name, versions=row) for name, row in found.items())

    def _compared(self, reference: str, version: str) -> list[Comparison]:
        package = canonicalize_name(self._asked.package)
        pairs = []
        for name, record in self.records[version].items():
            labels = (f"{name} with {package} {reference}", f"{name} with {package} {version}")
            found = compare(self.records[reference][name], record, labels)
            pairs.append(found.model_copy(update={"case": self._asked.case.name}))
        return pairs


def bisect(
    asked: BisectRequest,
    releases: Releases,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    say: Say,
) -> tuple[Report, Path]:
    """Find the first release whose traces differ from the good one's; write the report.

    `out`: may be a folder of the same bisection, stopped earlier: what was trained there is not
    trained again. Raises `SpecError` where the two ends are no releases.
    """
    versions = between(releases.fitting, asked.good, asked.bad)
    with output_folder(out, f"{asked.case.name}-bisect", again=True) as folder:
        tried = _Tried(asked, folder, console, say)
        write_report = partial(_report, asked, versions, releases, tried, folder, command)
        try:
            return write_report(_search(asked, versions, tried)), folder
        except KeyboardInterrupt:
            if tried.comparisons:
                write_report(None)
            raise


@dataclass(frozen=True)
class _Answer:
    outcome: Literal["found", "none", "range", "ends"]
    last_same: str | None = None
    first_differing: str | None = None
    further: bool | None = None


def _search(asked: BisectRequest, versions: Sequence[str], tried: _Tried) -> _Answer:
    """The two ends first: without a difference between them there is nothing to look for."""
    if not tried.train(asked.good):
        return _Answer("ends")
    ends = tried.judge(asked.bad)
    if ends is None:
        return _Answer("ends")
    if ends == "same":
        return _Answer("none")
    found = first_differing_place(len(versions), lambda place: tried.judge(versions[place]))
    first, last_same = versions[found.first_different], versions[found.last_same]
    whole = found.first_different == found.last_same + 1
    further = None
    if first != asked.bad:
        again = tried.judge(asked.bad, against=first)
        further = None if again is None else again == "different"
    return _Answer("found" if whole else "range", last_same, first, further)


_VERDICTS: Mapping[str, Verdict] = {
    "found": "different",
    "none": "equivalent",
    "range": "no_verdict",
    "ends": "no_verdict",
}


def _report(
    asked: BisectRequest,
    versions: Sequence[str],
    releases: Releases,
    tried: _Tried,
    folder: Path,
    command: Sequence[str],
    answer: _Answer | None,
) -> Report:
    ordered = [version for version in versions if version in tried.records]
    unfit = _unfit(releases, versions)
    moved: tuple[PackageChange, ...] = ()
    if answer and answer.first_differing and answer.last_same:
        moved = tried.moved_along(answer.last_same, answer.first_differing)
    result = BisectResult(
        package=asked.package,
        good=asked.good,
        bad=asked.bad,
        outcome=answer.outcome if answer else "range",
        last_same=answer.last_same if answer else None,
        first_differing=answer.first_differing if answer else None,
        further=answer.further if answer else None,
        moved_along=moved,
        tested=tuple(ordered),
        skipped=tuple(
            Skipped(version=version, why=why) for version, why in {**tried.skipped, **unfit}.items()
        ),
        released=len(versions),
    )
    said = _sentence(asked, result, tried) if answer else "the bisection was interrupted"
    result = result.model_copy(update={"sentence": said})
    records = [
        (name, record)
        for version in ordered
        for name, record in tried.records[version].items()
        if (record.folder / HEADER).is_file()
    ]
    shown = [pair for version in ordered for pair in tried.comparisons.get(version, ())]
    report = Report.of(records, shown, folder, command)
    settled = _VERDICTS[answer.outcome] if answer else "no_verdict"
    report = report.model_copy(update={"bisect": result, "verdict": settled})
    write(report, folder)
    return report


def _unfit(releases: Releases, versions: Sequence[str]) -> dict[str, str]:
    """Releases between the ends that are not meant for this Python."""
    every = (*releases.fitting, *releases.unfit)
    ends = versions[0], versions[-1]
    inside = between(every, *ends) if releases.unfit else []
    return {text: "not for this Python" for text in inside if text in releases.unfit}


def _sentence(asked: BisectRequest, result: BisectResult, tried: _Tried) -> str:
    package = asked.package
    span = f"{package} {asked.good} to {asked.bad}"
    if result.outcome == "ends":
        which = next(end for end in (asked.good, asked.bad) if end in tried.skipped)
        return (
            f"no verdict: {package} {which} could not be judged, and it is one of the two ends: "
            f"{tried.skipped[which]}"
        )
    loops = ", ".join(Path(loop).stem for loop in asked.loops)
    if result.outcome == "none":
        return (
            f"{span}: {loops} trains the same with both ends, bit for bit; a change that was taken "
            "back between them would not be seen"
        )
    first = result.first_differing
    assert first is not None
    pair = next(p for p in tried.comparisons[first] if p.outcome == "different")
    where = pair.first_divergence
    assert where is not None
    text = f"{package} {first} is the first that trains otherwise than {asked.good}"
    if result.outcome == "range":
        between_ = ", ".join(v for v in tried.skipped if v not in (asked.good, asked.bad))
        text = (
            f"no verdict: {package} {first} trains otherwise than {asked.good} and "
            f"{result.last_same} does not; between them could not be judged: {between_}"
        )
    text += f": first at step {where.step} in {where.stage}"
    why = because(pair)
    text += f" ({why})" if why else ""
    text += f"; {result.last_same} still trains the same"
    if result.further:
        text += f"; {asked.bad} differs from {first} again, so there are further changes"
    elif result.further is False:
        text += f"; {asked.bad} trains as {first} does"
    if result.moved_along:
        names = ", ".join(
            f"{each.name} {' to '.join(v or 'absent' for v in each.versions)}"
            for each in result.moved_along
        )
        text += f"; with it moved, as it needs them, {names}, which may be the cause too"
    return f"{text}. Assumed: one change, that was not taken back before"
