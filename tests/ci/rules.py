"""What the files of a build must keep beyond what their linters know of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["broken_rules"]

_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_OURS_ALONE = {"schedule", "workflow_dispatch", "push"}
"""Triggers that no stranger can pull."""


def broken_rules(content: dict[Any, Any]) -> list[str]:
    """A line for each rule that a workflow or a composite action, as read from YAML, breaks."""
    found: list[str] = []
    if "jobs" in content:
        # YAML 1.1 takes the key `on` for the truth.
        triggers = set(content.get("on", content.get(True, ())))
        if "permissions" not in content:
            found.append("a workflow says its permissions, none by default")
        for name, job in content["jobs"].items():
            found += [f"{name}: {rule}" for rule in _job(job, triggers, content)]
    else:
        found += _steps(content["runs"]["steps"], in_action=True)
    return found


def _job(job: dict[str, Any], triggers: set[str], workflow: dict[str, Any]) -> Iterator[str]:
    if "timeout-minutes" not in job:
        yield "a job ends by itself: timeout-minutes"
    if "permissions" not in job:
        yield "a job says its permissions"
    if "write" in str(job.get("permissions")):
        yield "a job here only reads"
    if "self-hosted" in job["runs-on"]:
        if triggers - _OURS_ALONE:
            yield "a machine of our own runs no change of a stranger's"
        group = {**workflow, **job}.get("concurrency", {})
        if "group" not in group or group.get("cancel-in-progress"):
            yield "a machine of our own has one job at a time, which is not cut off"
    yield from _steps(job["steps"], in_action=False)


def _steps(steps: list[dict[str, Any]], in_action: bool) -> Iterator[str]:
    for step in steps:
        name = step.get("name")
        if name is None:
            yield "a step has a name"
        if "${{" in step.get("run", ""):
            yield f"{name}: a script takes values from its environment, never from an expression"
        if in_action and "run" in step and "shell" not in step:
            yield f"{name}: a step of an action names its shell"
        used = step.get("uses", "./")
        if not used.startswith("./") and not _PINNED.fullmatch(used):
            yield f"{name}: an action of others is pinned by its commit"
