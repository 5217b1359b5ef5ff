"""Repeats runs up to a step, and records their modules and operations there.

A replay is an ordinary run, in a process of its own, from the spec in a record.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from rich.console import Console

from harness.diagnosis.replay_command import replay_command, why_not_replayed
from harness.errors import SpecError
from harness.execution.checkpoints import FOLDER
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import Run, run_all
from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.case import RunSpec, label

__all__ = ["Place", "cost_s", "replays_of", "what_is_missing"]

Place = tuple[Path, int]
"""The folder of a record, and the step that is localized."""


def replays_of(
    wanted: Mapping[Place, RunRecord],
    folder: Path,
    jobs: int | None,
    console: Console,
    timeout_s: float,
) -> dict[Place, RunRecord | str]:
    """The replay of each run at a step, or why there is none."""
    runs: dict[Place, Run] = {}
    commands: dict[Place, Path] = {}
    taken: set[Path] = set()
    for place, record in wanted.items():
        step = place[1]
        if isinstance(record.spec, RunSpec):
            # What changes weights after the update is part of the step, until the next one begins.
            changes = {"stop_after": step + 1, "localize_at": step}
            spec = record.spec.model_copy(update=changes)
            path = _free(folder, f"{spec.case.name}-{label(spec)}", taken)
            runs[place] = Run(spec, path)
        else:
            name = f"{record.spec.run_label}-localized-{step}"
            path = commands[place] = _free(folder, name, taken)
        taken.add(path)
    for run in runs.values():
        shutil.rmtree(run.folder, ignore_errors=True)  # left by a stopped localization
    with bars(list(runs.values()), console, experiments=True) as on_event:
        records = run_all(list(runs.values()), jobs, on_event, True, timeout_s)
    for run in runs.values():  # the checkpoints of a stopped replay are not needed
        shutil.rmtree(run.folder / FOLDER, ignore_errors=True)
    replays: dict[Place, RunRecord | str] = dict(zip(runs, records, strict=True))
    for place, path in commands.items():
        record = wanted[place]
        if console.is_terminal:
            line = f"running {record.spec.run_label} again, up to step {place[1]}"
            console.print(line, highlight=False, markup=False)
        try:
            replays[place] = replay_command(record, place[1], path)
        except SpecError as error:
            replays[place] = str(error)
    return replays


def _free(folder: Path, name: str, taken: set[Path]) -> Path:
    """A folder of that name, or with a number if both runs of a pair have one label."""
    path, number = folder / name, 1
    while path in taken:
        number += 1
        path = folder / f"{name}-{number}"
    return path


def cost_s(record: RunRecord, step: int) -> float:
    """How long the recorded run trained up to the step after `step`."""
    header = record.header
    return (header.wall_s or 0.0) * min(1.0, (step + 1) / max(1, header.steps))


def what_is_missing(record: RunRecord, name: str) -> str:
    """What a replay of the run needs and is missing; empty if nothing is."""
    if not isinstance(record.spec, RunSpec):
        why = why_not_replayed(record)
        return f"{name} cannot be replayed: {why}" if why else ""
    try:
        registry.loop(record.run_spec.loop)
    except SpecError as error:
        return f"{name} cannot be replayed: {error}"
    environment = record.header.environment
    recorded = {"python": environment.get("python"), **environment.get("versions", {})}
    here = {name: _installed(name) for name in recorded} | {"python": platform.python_version()}
    others = [
        f"{package} {version} ({here[package] or 'none'} is installed)"
        for package, version in recorded.items()
        if version is not None and here[package] != version
    ]
    if others:
        return (
            f"{name} cannot be replayed: it was recorded with {', '.join(others)}: install the "
            "recorded versions, or run it again"
        )
    return ""


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
