"""Trains the case with one release of a library, by all loops, in an environment of its own.

The environment is removed when the release is trained. Complete runs are kept: a release that was
trained before is not trained again, and of one that was stopped only what is missing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.console import Console

from harness.errors import SpecError
from harness.execution.environments.venv import environment_with
from harness.execution.parent.plan import runs_in
from harness.execution.parent.progress import bars
from harness.execution.parent.reuse import is_done
from harness.execution.parent.runner import run_all
from harness.results.record import RunRecord, write_atomically
from harness.spec import registry
from harness.spec.case import Case
from harness.spec.recipe import Conventions

__all__ = ["LOOPS", "MODES", "SETTINGS", "Trained", "train"]

LOOPS = ("plain", "accelerated", "trainer")
MODES: tuple[Conventions, ...] = ("matched", "native")
SETTINGS: Mapping[str, Any] = {
    "max_steps": 12,
    "gradient_accumulation_steps": 2,
    "warmup_steps": 3,
    "weight_decay": 0.01,
    "eval_every": 6,
    "eval_rows": 64,
    "train_rows": 100,
}
"""Short, and with warm-up, decay, clipping, accumulation, evaluations, a short last batch, and a
second epoch."""
_LIBRARIES = "libraries.json"
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Trained:
    """The runs with one release; none if its environment could not be made."""

    folder: Path
    versions: Mapping[str, str] = field(default_factory=dict)
    """The version of every package in its environment."""
    why_not: str = ""
    """Why its environment could not be made; empty if it was."""

    def record(self, mode: str, loop: str) -> RunRecord:
        """The record of one of its runs. Raises `RecordError` if there is none."""
        return RunRecord(self.folder / mode / "records" / f"{_case().name}-{loop}")


def train(
    requirements: Sequence[Requirement],
    folder: Path,
    console: Console,
    change: Callable[[Path], None] | None = None,
) -> Trained:
    """Make an environment in which `requirements` hold, and train the case in it by all loops.

    `change`: is called with the folder of the environment before anything is trained.
    """
    kept = folder / _LIBRARIES
    if kept.is_file():
        return Trained(folder, json.loads(kept.read_text(encoding="utf-8")))
    environments = folder / "environment"
    name = ", ".join(map(str, requirements))
    try:
        libraries = environment_with(requirements, environments, lambda text: None)
        if change is not None and libraries.python is not None:
            change(Path(libraries.python).parents[1])
        case = _case().model_copy(update={"libraries": name, "libraries_of": _case().name})
        runs = [
            run
            for mode in MODES
            for run in runs_in(
                folder / mode,
                [registry.run_spec(case, loop, mode) for loop in LOOPS],
                {name: libraries.python},
            )
        ]
        waiting = [run for run in runs if not is_done(run)]
        with bars(waiting, console, experiments=True) as on_event:
            run_all(waiting, 1, on_event, keep_going=True, timeout_s=_TIMEOUT_S)
    except SpecError as error:
        return Trained(folder, why_not=str(error))
    if all(RunRecord(run.folder).header.status == "completed" for run in runs):
        with write_atomically(kept) as path:
            path.write_text(json.dumps(dict(libraries.versions), indent=1), encoding="utf-8")
    shutil.rmtree(environments, ignore_errors=True)
    return Trained(folder, libraries.versions)


def _case() -> Case:
    return registry.with_settings(registry.case("paraphrase"), dict(SETTINGS))
