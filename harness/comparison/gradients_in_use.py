"""Which gradients of a step have an effect on it: those that an optimizer that steps holds.

A generator's backward pass leaves gradients in its critic, and the generator's step does not use
them. Whether they are zeroed before or after the next step of the critic is no difference between
two runs. If they are not zeroed, they are part of the gradients of that step, and count there.
Clipping all gradients together uses them too: it scales the others by a norm that covers them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.comparison.alignment import Alignment
from harness.comparison.factors import UNIFORM, one_factor, ratios_applied

__all__ = ["GradientsInUse", "gradients_in_use"]


@dataclass(frozen=True)
class GradientsInUse:
    """The gradients that differ and have an effect."""

    tensors: dict[int, list[str]]
    """Tensors whose gradients differ, by step."""
    idle_steps: frozenset[int]
    """Steps at which only gradients without an effect differ."""


def gradients_in_use(both: Alignment, differing: dict[int, list[str]]) -> GradientsInUse:
    """`differing`: all tensors whose gradients differ, by step.

    Where a record does not state which parameters an optimizer holds, every gradient counts.
    """
    held = _Held(both)
    found = {
        step: [name for name in names if held.in_one(step, name)]
        for step, names in differing.items()
    }
    weights = both.steps.differing("weights")
    first = int(both.steps.steps[weights[0]]) if len(weights) else None
    if first in found and not found[first] and _one_clip(both, int(weights[0])):
        found[first] = differing[first]
    idle = frozenset(step for step, names in found.items() if not names)
    return GradientsInUse({step: names for step, names in found.items() if names}, idle)


class _Held:
    """The parameters that the optimizers of a step hold, in both runs."""

    def __init__(self, both: Alignment) -> None:
        self._rows = {int(step): row for row, step in enumerate(both.steps.steps)}
        self._owners = [table["rate_of"] for table in (both.steps.reference, both.steps.candidate)]
        self._places = [
            {name: place for place, name in enumerate(record.header.parameter_names)}
            for record in (both.reference, both.candidate)
        ]
        self._step: int | None = None
        self._of_step: list[list[int] | None] = []

    def in_one(self, step: int, name: str) -> bool:
        """Whether an optimizer that stepped holds the parameter in one run, or it is not known."""
        if step not in self._rows:
            return True
        if step != self._step:
            row = self._rows[step]
            self._step = step
            self._of_step = [owners[row].as_py() for owners in self._owners]
        for owners, places in zip(self._of_step, self._places, strict=True):
            place = places.get(name)
            if owners is None or place is None or place >= len(owners) or owners[place] != -1:
                return True
        return False


def _one_clip(both: Alignment, row: int) -> bool:
    """Whether both runs scale their gradients to one norm, and by other factors."""
    step, norms = int(both.steps.steps[row]), both.steps.pair("grad_norm", row)
    found = [one_factor(ratios_applied(run, step)) for run in (both.reference, both.candidate)]
    pairs = [
        (factor, norm)
        for factor, norm in zip(found, norms, strict=True)
        if factor is not None and norm is not None
    ]
    clipped = [factor * norm for factor, norm in pairs if factor < 1 - UNIFORM]
    if len(pairs) < 2 or not clipped or abs(pairs[0][0] - pairs[1][0]) <= UNIFORM:
        return False
    return all(
        bool(np.isclose(factor, min(1.0, clipped[0] / norm), rtol=UNIFORM, atol=0))
        for factor, norm in pairs
        if norm
    )
