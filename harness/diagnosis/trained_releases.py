"""The runs of a bisection: the case trained with releases of a package, and their comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console

from harness.comparison.compare import compare
from harness.errors import SpecError
from harness.execution.environments.interpreter import Libraries, differing
from harness.execution.environments.venv import environment_with
from harness.execution.parent.plan import plan, runs_in
from harness.execution.parent.progress import bars
from harness.execution.parent.reuse import is_done
from harness.execution.parent.runner import run_all
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.upgrade import PackageChange
from harness.spec.case import Case, label
from harness.spec.recipe import Conventions
from harness.spec.request import TIMEOUT_S, RunRequest

__all__ = ["BisectRequest", "ShowProgress", "TrainedReleases"]

Outcome = Literal["same", "different"]
ShowProgress = Callable[[str], None]


@dataclass(frozen=True)
class BisectRequest:
    """The search: a case and loops, a package, and the two releases at the ends."""

    case: Case
    loops: Sequence[str]
    conventions: Conventions
    package: str
    good: str
    bad: str
    environments: Path | None = None
    timeout_s: float = TIMEOUT_S


class TrainedReleases:
    """The case trained with releases of the package, each compared with the good one."""

    def __init__(
        self,
        request: BisectRequest,
        folder: Path,
        console: Console,
        show_progress: ShowProgress,
    ) -> None:
        self._request, self._folder, self._console = request, folder, console
        self._show_progress = show_progress
        self.records: dict[str, dict[str, RunRecord]] = {}
        """Records by version and loop."""
        self.comparisons: dict[str, list[Comparison]] = {}
        self.skipped: dict[str, str] = {}
        self.libraries: dict[str, Libraries] = {}

    def train(self, version: str) -> bool:
        """Train all loops with a version. Returns False, with a reason in `skipped`, if one fails.

        Raises `SpecError` if the environment of one of the two ends cannot be made.
        """
        request = self._request
        self._show_progress(f"{request.package} {version}")
        wanted = Requirement(f"{request.package}=={version}")
        case = self._case(version)
        specs = plan(
            RunRequest(cases=(case,), loops=tuple(request.loops), conventions=request.conventions)
        )
        try:
            libraries = environment_with([wanted], request.environments, self._show_progress)
            self.libraries[version] = libraries
            runs = runs_in(self._folder, specs, {case.libraries or "": libraries.python})
            waiting = [run for run in runs if not is_done(run)]
            with bars(waiting, self._console) as on_event:
                run_all(waiting, None, on_event, timeout_s=request.timeout_s)
        except SpecError as error:
            if version in (request.good, request.bad):
                raise
            self.skipped[version] = str(error)
            return False
        records = {label(run.spec): RunRecord(run.folder) for run in runs}
        self.records[version] = records
        failures = [
            f"{name} {record.header.status}: {record.header.error}"
            for name, record in records.items()
            if record.header.status != "completed"
        ]
        if failures:
            self.skipped[version] = "; ".join(failures)
        return not failures

    def _case(self, version: str) -> Case:
        case, package = self._request.case, canonicalize_name(self._request.package)
        return case.model_copy(
            update={
                "name": f"{case.name}-{package}-{version}",
                "libraries_of": case.name,
                "libraries": f"{package} {version}",
            }
        )

    def compare_with(self, version: str, reference: str | None = None) -> Outcome | None:
        """Compare a version with the good one, or with `reference`; None: not comparable."""
        base = reference or self._request.good
        if version not in self.records and not self.train(version):
            return None
        if version in self.skipped:
            return None
        pairs = self._compare(base, version)
        if reference is None:
            self.comparisons[version] = pairs
        if any(pair.outcome == "different" for pair in pairs):
            return "different"
        doubtful = [pair for pair in pairs if pair.outcome != "identical"]
        if doubtful:
            why = "; ".join(doubtful[0].doubts)
            self.skipped.setdefault(version, f"{doubtful[0].outcome}: {why}")
            return None
        return "same"

    def other_changes(self, one: str, two: str) -> tuple[PackageChange, ...]:
        """Other packages whose versions differ between the environments of two versions."""
        changes = differing([self.libraries[one], self.libraries[two]])
        changes.pop(canonicalize_name(self._request.package), None)
        return tuple(PackageChange(name=name, versions=row) for name, row in changes.items())

    def _compare(self, reference: str, version: str) -> list[Comparison]:
        package = canonicalize_name(self._request.package)
        pairs = []
        for name, record in self.records[version].items():
            labels = (f"{name} with {package} {reference}", f"{name} with {package} {version}")
            pair = compare(self.records[reference][name], record, labels)
            pairs.append(pair.model_copy(update={"case": self._request.case.name}))
        return pairs
