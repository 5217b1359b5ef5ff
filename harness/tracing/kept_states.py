"""The state of the optimizers as it is when an update ends, for whoever reads it later.

A script may empty the state, or drop an optimizer, before the next pass. The tensors themselves are
kept, and no copies: what changes them in place is not noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["KeptStates", "State"]

State = dict[str, Any]
"""What the optimizers keep for a parameter, by name."""


class KeptStates:
    """The states of the last update that was kept."""

    def __init__(self) -> None:
        self._step = 0
        self.states: dict[str, State] = {}
        """By name of the parameter or buffer."""

    def keep(
        self,
        step: int,
        named: Mapping[str, Tensor],
        state_of: Callable[[Tensor], State],
        is_held: Callable[[Tensor], bool],
    ) -> None:
        """Keep the states of `named` now; of an optimizer that is gone since the step before, what
        it held then. `is_held`: whether an optimizer that exists holds a parameter."""
        before = self.states if self._step == step - 1 else {}
        states = {name: state_of(tensor) for name, tensor in named.items()}
        for name, state in states.items():
            if not state and before.get(name) and not is_held(named[name]):
                states[name] = before[name]
        self._step, self.states = step, states
