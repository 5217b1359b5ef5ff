"""Runs a command unchanged, and leaves records of what its processes train in a folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.execution.command import launch
from harness.execution.command.options import VARIABLE, Options
from harness.execution.command.parts import Recorded, gather, parts_in
from harness.execution.command.program import find_program
from harness.execution.command.unseen import notes_in, what_was_unseen
from harness.execution.commit import find_commit
from harness.results.folders import RECORDS
from harness.spec.command import CommandSpec
from harness.spec.recipe import Recipe

__all__ = ["Traced", "trace"]

SITE = Path(__file__).parent / "site"
_WORK = ".trace"  # within the output folder, while the command runs
_DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # must be set before CUDA is used


@dataclass(frozen=True)
class Traced:
    """How a command ended, and the records that it left."""

    end: launch.End
    recorded: list[Recorded]
    """Its records, in the order in which the trainings began."""
    unseen: tuple[str, ...]
    """What could not be seen, one sentence each."""


def trace(spec: CommandSpec, folder: Path, log: Path | None = None) -> Traced:
    """Run the command of `spec`, and leave its records in `folder`.

    `log`: receives what the command prints, which is shown otherwise.

    Raises `SpecError` if the command cannot be started.
    """
    program = find_program(spec.command)
    work = folder.absolute() / _WORK
    notes, parts = work / "notes", work / "parts"
    for new in (notes, parts):
        new.mkdir(parents=True)
    options = Options(
        notes=str(notes),
        parts=str(parts),
        spec=spec.model_dump(mode="json"),
        num_threads=Recipe().num_threads,
        commit=find_commit() or "",
    )
    options.write(work / "options.json")
    try:
        try:
            end = launch.run(program, spec.command, _environment(spec, work / "options.json"), log)
        except OSError as error:
            raise SpecError(
                "a command must be a program that can be started", error, "check its file"
            ) from None
        recorded, unseen = _gather(spec, parts, notes, folder / RECORDS, end)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Traced(end, recorded, unseen)


def _environment(spec: CommandSpec, options: Path) -> dict[str, str]:
    """The environment of the command: the present one, and what attaches the harness."""
    path = os.environ.get("PYTHONPATH")
    variables = {
        **os.environ,
        VARIABLE: str(options),
        "PYTHONPATH": os.pathsep.join([str(SITE), *([path] if path else [])]),
    }
    if spec.deterministic:
        variables |= {k: v for k, v in _DETERMINISTIC.items() if k not in os.environ}
    return variables


def _gather(
    spec: CommandSpec, parts: Path, notes: Path, records: Path, end: launch.End
) -> tuple[list[Recorded], tuple[str, ...]]:
    """Make the records, and find what could not be seen."""
    records.mkdir(exist_ok=True)
    recorded = gather(parts_in(parts), records, spec)
    for each in recorded:
        each.note_end(end)
    return recorded, what_was_unseen(spec.command, notes_in(notes), bool(recorded), end.exit_code)
