"""The record of a command: no case, no recipe, no rows of a training set, no task's loss."""

from __future__ import annotations

from typing import Any

from harness.spec.command import CommandSpec
from tests.support.records import Draft, draft

__all__ = ["traced_command"]


def traced_command(name: str = "script", **header: Any) -> Draft:
    """A command that ran as the loop of `draft`, without an evaluation."""
    spec = CommandSpec(name=name, command=("python", f"{name}.py"))
    made = draft(spec=spec, evaluations=(), steps_expected=None, **header)
    for row in made.rows["micro_batches"]:
        row.update(sample_ids=None, task_loss=None)
    return made
