"""Which runs of an output folder are complete, so that the same command uses them again.

A record is used again only if nothing speaks against it: it is complete, its traces are unchanged,
it has the settings of the planned run, and the libraries and the user's own files are as they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from harness.errors import RecordError, SpecError
from harness.execution.checkpoints import FOLDER, Checkpoints, check_same_run
from harness.execution.parent.runner import Run
from harness.results.folders import RECORDS
from harness.results.header import Header
from harness.results.record import RunRecord
from harness.spec.files import digests_of_files
from harness.units import counted
from harness.version import __version__

__all__ = ["Left", "is_done", "left_to_make"]

_DAMAGED, _CHANGED = "damaged", "changed"
_REPLAY = "-localized-"
"""Part of the names of records that localize a difference; they are made again when needed."""


@dataclass(frozen=True)
class Left:
    """What a command finds in its output folder."""

    waiting: list[Run]
    """Runs that are to be made."""
    done: int = 0
    """Runs that were complete before."""
    again: Counter[str] = field(default_factory=Counter)
    """Complete records that cannot be used again, counted by the reason."""

    def line(self, folder: Path) -> str:
        """One sentence for the user: what is used again, and what is left."""
        runs, used = counted(len(self.waiting), "run"), counted(self.done, "complete run")
        text = f"Continues in {folder}: {used} used again, {runs} left"
        reasons = []
        if many := self.again[_DAMAGED]:
            reasons.append(f"{counted(many, 'damaged record')} made again")
        if many := self.again[_CHANGED]:
            reasons.append(f"{counted(many, 'run')} made again, since a file of yours has changed")
        return "; ".join([text, *reasons])


def left_to_make(folder: Path, runs: Sequence[Run]) -> Left:
    """The runs of a command that its output folder lacks.

    Raises `SpecError` if the folder holds runs of another command.
    """
    own = {run.folder for run in runs}
    for path in sorted((folder / RECORDS).glob("*/")):
        if path not in own and _REPLAY not in path.name:
            raise SpecError(
                "a command continues only in a folder that holds no run of another command",
                path,
                "choose a new output folder, or repeat the command that began there",
            )
    reasons = [(run, _why_not_done(run)) for run in runs]
    waiting = [run for run, why in reasons if why is not None]
    again = Counter(why for _, why in reasons if why)
    return Left(waiting, len(runs) - len(waiting), again)


def is_done(run: Run) -> bool:
    """Whether the same run was completed in its folder before, and its record can be used again.

    Raises `SpecError` if another run was, or left a checkpoint there, or used other libraries.
    """
    return _why_not_done(run) is None


def _why_not_done(run: Run) -> str | None:
    """None: it is done. Empty: it is not complete. Otherwise why its record is of no use."""
    Checkpoints(run.folder / FOLDER).newest(run.spec)
    try:
        record = RunRecord(run.folder)
    except RecordError:
        return ""
    check_same_run(record.run_spec, run.spec)
    if record.header.status not in ("completed", "stopped"):
        return ""
    if record.header.environment.get("files", {}) != digests_of_files(run.spec):
        return _CHANGED
    if run.python is None:
        _check_same_libraries(record.header)
    return None if record.is_intact() else _DAMAGED


def _check_same_libraries(header: Header) -> None:
    """Raise `SpecError` if the current libraries are not those of the record."""
    before = dict(header.environment.get("versions", {}))
    if "harness" in header.environment:
        before["harness"] = header.environment["harness"]
    for name, was in before.items():
        now = __version__ if name == "harness" else _version_of(name)
        if now != was:
            raise SpecError(
                f"a command continues with the libraries with which it began, {name} {was}",
                f"{name} {now or 'absent'}",
                "restore the version, or choose a new output folder",
            )


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
