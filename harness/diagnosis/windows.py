"""Windows of steps over which a search for fields replays runs, and the cost of a window."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from harness.diagnosis.minimize import Subset
from harness.diagnosis.replay import SWITCHABLE, StepRange
from harness.results.divergence import Divergence
from harness.spec.case import RunSpec
from harness.spec.recipe import Recipe

__all__ = ["WINDOW", "Window", "differing_fields", "step_bound", "window_from"]

WINDOW = 10
"""Length of a window in steps, from a divergence on."""
_FAR = 10  # fewest steps before a window for which a checkpoint is worth writing


@dataclass
class Window:
    """The fields that cause a divergence within one window of steps."""

    first: Divergence
    """The first divergence before these fields were switched."""
    steps_range: StepRange
    last: int
    """The last step of the window."""
    fields: Subset


def differing_fields(reference: RunSpec, candidate: RunSpec) -> dict[str, tuple[Any, Any]]:
    """Recipe fields and workload options in which two runs differ, with both values.

    Fields that determine the content of a checkpoint come first, so that they are settled first.
    """
    one, two = (
        {**spec.recipe.model_dump(), **spec.case.options} for spec in (reference, candidate)
    )
    names = [name for name in {**one, **two} if one.get(name) != two.get(name)]
    names.sort(key=lambda name: (name in SWITCHABLE, name not in Recipe.model_fields))
    return {name: (one.get(name), two.get(name)) for name in names}


def window_from(first: Divergence, steps: int, may_start_late: bool) -> tuple[StepRange, int]:
    """The window that begins at `first`, and its last step, in runs of `steps` steps."""
    last = min(first.step + WINDOW - 1, steps)
    if steps - last < WINDOW:
        last = steps
    # Evaluation and step count at the end exist only in the whole run.
    whole = first.step >= steps and first.stage in ("evaluation", "step_count")
    # The checkpoint of the step before may hold this step's learning rate of the old schedule.
    start = first.step - 2 if may_start_late and first.step - 2 >= _FAR else 0
    return StepRange(None if whole else last, start), last


def step_bound(fields: Collection[str], steps_range: StepRange, last: int) -> int:
    """An upper bound on the steps of a window's replays if fields do not mask one another.

    The number of replays is the number of fields times (2 + its logarithm). Replays that write
    checkpoints are added.
    """
    replays = math.ceil(len(fields) * (2 + math.log2(len(fields))))
    in_checkpoint = len(set(fields) - SWITCHABLE)
    checkpoint_steps = 0
    if steps_range.start:
        checkpoint_steps = (steps_range.start + 1) * (1 + 3 * in_checkpoint)
    return replays * (last - steps_range.start) + checkpoint_steps
