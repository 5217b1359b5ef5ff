"""Rounds of a search for fields: which fields are asked about, over which steps, at what price."""

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
"""Steps, from a divergence on, over which fields are told apart."""
_FAR = 10  # steps that are worth a checkpoint


@dataclass
class Window:
    """Fields that were found to act within one stretch."""

    first: Divergence
    """Where the two parted before they were switched."""
    stretch: StepRange
    last: int
    """The last step that was looked at."""
    fields: Subset


def differing_fields(reference: RunSpec, candidate: RunSpec) -> dict[str, tuple[Any, Any]]:
    """Recipe fields and workload options in which two runs differ, with both values.

    Those that shape what a checkpoint holds come first, so that they are settled first.
    """
    sides: list[dict[str, Any]] = [
        {**spec.recipe.model_dump(), **spec.case.options} for spec in (reference, candidate)
    ]
    names = [name for name in {**sides[0], **sides[1]} if sides[0].get(name) != sides[1].get(name)]
    names.sort(key=lambda name: (name in SWITCHABLE, name not in Recipe.model_fields))
    return {name: (sides[0].get(name), sides[1].get(name)) for name in names}


def window_from(first: Divergence, steps: int, may_start_late: bool) -> tuple[StepRange, int]:
    """The steps from `first` on that are looked at, and the last of them, of runs of `steps`."""
    last = min(first.step + WINDOW - 1, steps)
    if steps - last < WINDOW:
        last = steps
    # At the end only the whole run has what is compared there.
    whole = first.step >= steps and first.stage in ("evaluation", "step_count")
    # The rate of a step may stand in the checkpoint before it, as the old schedule has it.
    start = first.step - 2 if may_start_late and first.step - 2 >= _FAR else 0
    return StepRange(None if whole else last, start), last


def step_bound(fields: Collection[str], stretch: StepRange, last: int) -> int:
    """The most steps of a round in which fields do not mask one another.

    As many short replays as fields times the logarithm of their number and two more for each, and
    those that write checkpoints.
    """
    replays = math.ceil(len(fields) * (2 + math.log2(len(fields))))
    held = len(set(fields) - SWITCHABLE)
    legs = (stretch.start + 1) * (1 + 3 * held) if stretch.start else 0
    return replays * (last - stretch.start) + legs
