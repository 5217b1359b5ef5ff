"""Runs a traced command again, up to the step after the one whose operations are wanted.

What the command writes, it writes again: the caller decides whether that is wanted.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from harness.errors import SpecError
from harness.execution.command.trace import trace
from harness.results.folders import RECORDS
from harness.results.record import RunRecord
from harness.spec.command import CommandSpec

__all__ = ["LOG", "replay_command", "why_not_replayed"]

LOG = "output.log"
"""What the command printed, in the folder of its replay."""


def why_not_replayed(record: RunRecord) -> str:
    """Why the record of a command cannot be repeated; empty if it may be."""
    spec = record.spec
    if not isinstance(spec, CommandSpec) or not spec.command:
        return "Python code that was traced from within cannot be replayed"
    if not Path(spec.folder).is_dir():
        return f"the folder of its command does not exist: {spec.folder}"
    return ""


def replay_command(record: RunRecord, step: int, folder: Path) -> RunRecord:
    """Repeat the command of `record` in a new `folder`, with the operations of `step` recorded.

    Raises `SpecError` if it cannot be started or leaves no such record.
    """
    spec = record.spec
    assert isinstance(spec, CommandSpec)  # the caller has asked `why_not_replayed`
    shutil.rmtree(folder, ignore_errors=True)  # left by a stopped localization
    folder.mkdir(parents=True)
    name = spec.name.removesuffix(f"-{spec.training}") if spec.training > 1 else spec.name
    wanted = spec.model_copy(update={"localize_at": step, "name": name})
    out = folder.absolute()
    with contextlib.chdir(spec.folder):
        traced = trace(wanted, out, out / LOG)
    records = [each.record for each in traced.recorded]
    found = [record for record in records if record.spec.localize_at == step]
    if not found:
        raise SpecError(
            "a replayed command trains again as it did",
            f"{' '.join(spec.command)} left no record of {spec.name}; its output is in "
            f"{folder / LOG}",
            "run it again by hand",
        )
    return RunRecord(out / RECORDS / found[0].folder.name)
