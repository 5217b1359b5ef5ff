"""Runs a command unchanged, and leaves records of what its processes train in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import NO_SPACE, DiskFull, SpecError
from harness.execution.command import launch
from harness.execution.command.bounded import GroupProcess
from harness.execution.command.options import VARIABLE, Options
from harness.execution.command.parts import Recorded, gather, parts_in
from harness.execution.command.program import find_program
from harness.execution.command.unseen import Note, notes_in, what_was_unseen
from harness.execution.commit import find_commit, find_repository
from harness.results.folders import RECORDS, UNFINISHED
from harness.spec.command import CommandSpec
from harness.spec.recipe import Recipe

__all__ = ["Traced", "attached", "notes_of", "trace", "trace_briefly"]

SITE = Path(__file__).parent / "site"
_NOTES, _PARTS, _OPTIONS = "notes", "parts", "options.json"  # within that folder
_DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # must be set before CUDA is used


@dataclass(frozen=True)
class Traced:
    """How a command ended, and the records that it left."""

    end: launch.End
    recorded: list[Recorded]
    """Its records, in the order in which the trainings began."""
    unseen: tuple[str, ...]
    """What could not be seen, one sentence each."""
    imported_torch: bool
    """Whether a process that the harness saw imported torch."""


def trace(spec: CommandSpec, folder: Path, log: Path | None = None) -> Traced:
    """Run the command of `spec`, and leave its records in `folder`.

    `log`: receives what the command prints, which is shown otherwise.

    Raises `SpecError` if the command cannot be started, and `DiskFull` if there was no space for
    the record of a process; records that are complete stay.
    """
    program = find_program(spec.command)
    work = folder.absolute() / UNFINISHED
    try:
        variables = attached(spec, work, os.environ)
        try:
            end = launch.run(program, spec.command, variables, log)
        except OSError as error:
            raise SpecError(
                "a command must be a program that can be started", error, "check its file"
            ) from None
        recorded, unseen, imported = _gather(spec, work, folder / RECORDS, end)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Traced(end, recorded, unseen, imported)


def trace_briefly(
    spec: CommandSpec, folder: Path, log: Path, variables: Mapping[str, str], limit_s: float
) -> Traced | None:
    """As `trace`, in the folder of `spec` and with these variables; None if it was not in time.

    It gets no signals and no input, so that several commands can be traced at a time.
    """
    work = folder.absolute() / f"{UNFINISHED}-{spec.name}"
    try:
        process = GroupProcess(
            spec.command, Path(spec.folder), attached(spec, work, variables), log
        )
        try:
            end = process.wait(limit_s)
        finally:
            process.kill()
        if end is None:
            return None
        recorded, unseen, imported = _gather(spec, work, folder / RECORDS, end)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Traced(end, recorded, unseen, imported)


def attached(
    spec: CommandSpec, work: Path, variables: Mapping[str, str], gate: str = ""
) -> dict[str, str]:
    """The environment of the command: `variables`, and what attaches the harness.

    `work`: a new folder for what its processes leave. `gate`: see `Options`.
    """
    for name in (_NOTES, _PARTS):
        (work / name).mkdir(parents=True)
    options = Options(
        notes=str(work / _NOTES),
        parts=str(work / _PARTS),
        spec=spec.model_dump(mode="json"),
        num_threads=Recipe().num_threads,
        commit=find_commit() or "",
        repository=find_repository(Path(spec.folder)),
        gate=gate,
    )
    options.write(work / _OPTIONS)
    path = variables.get("PYTHONPATH")
    found = {
        **variables,
        VARIABLE: str(work / _OPTIONS),
        "PYTHONPATH": os.pathsep.join([str(SITE), *([path] if path else [])]),
    }
    if spec.deterministic:
        found |= {k: v for k, v in _DETERMINISTIC.items() if k not in variables}
    return found


def _gather(
    spec: CommandSpec, work: Path, records: Path, end: launch.End
) -> tuple[list[Recorded], tuple[str, ...], bool]:
    """Make the records, and find what could not be seen, and whether a process imported torch.

    Raises `DiskFull`.
    """
    records.mkdir(exist_ok=True)
    recorded = gather(parts_in(work / _PARTS), records, spec)
    for each in recorded:
        each.note_end(end)
    notes = notes_of(work)
    if any(note.problem == NO_SPACE for note in notes):
        raise DiskFull(records)
    unseen = what_was_unseen(spec.command, notes, bool(recorded), end.exit_code)
    return recorded, unseen, bool(notes)


def notes_of(work: Path) -> list[Note]:
    """The notes of the processes of a command with this folder, see `attached`."""
    return notes_in(work / _NOTES)
