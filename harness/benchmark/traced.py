"""Short traced runs of a bench's arms, to compare their values; never timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.benchmark.arms import Arm
from harness.execution.parent.reuse import is_done
from harness.execution.parent.runner import Run, run_all
from harness.results.benchmark import CONTROL
from harness.results.folders import RECORDS
from harness.results.record import RunRecord

__all__ = ["TRACED_STEPS", "traced_runs"]

TRACED_STEPS = 8


def traced_runs(arms: Sequence[Arm], folder: Path, timeout_s: float) -> dict[str, RunRecord]:
    """Records by arm, in an output folder.

    Complete runs of a stopped bench in this folder are used again. Raises as `run_all` does.
    """
    runs: dict[str, Run] = {}
    for arm in arms:
        if arm.name == CONTROL:
            continue
        few = {"max_steps": TRACED_STEPS}
        case = arm.spec.case
        case = case.model_copy(update={"recipe": case.recipe.model_copy(update=few)})
        recipe = arm.spec.recipe.model_copy(update=few)
        spec = arm.spec.model_copy(update={"case": case, "recipe": recipe})
        runs[arm.name] = Run(spec, folder / RECORDS / f"{case.name}-{arm.name}", arm.python)
    waiting = [run for run in runs.values() if not is_done(run)]
    run_all(waiting, None, lambda _number, _event: None, timeout_s=timeout_s)
    return {name: RunRecord(run.folder) for name, run in runs.items()}
