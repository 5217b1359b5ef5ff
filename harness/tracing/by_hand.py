"""Stands for a script that updates its weights itself, without an optimizer of torch.optim.

Such a script makes no call that could be noticed. Its update is found by its effect: weights that
differ, before the next pass, from what they were when the backward pass ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

__all__ = ["ByHand", "rule_of"]


class ByHand(Optimizer):
    """What the probe takes for the optimizer: it has the parameters, but neither rate nor state."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        # Not through `Optimizer.__init__`: torch and the harness would see a new optimizer.
        self.defaults: dict[str, Any] = {}
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters)}]
        self._before: dict[str, int] | None = None

    def backward_ended(self, weights: Mapping[str, Tensor]) -> None:
        """A backward pass is complete: an update may follow."""
        self._before = _digests(weights)

    def has_updated(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether a weight has changed since the backward pass; told once."""
        before, self._before = self._before, None
        if before is None or before == _digests(weights):
            # Not yet: several backward passes may come before the update.
            self._before = before
            return False
        return True


def rule_of(optimizer: Optimizer) -> str:
    """The name of the rule by which an optimizer updates weights."""
    return "the script itself" if isinstance(optimizer, ByHand) else type(optimizer).__name__


def _digests(weights: Mapping[str, Tensor]) -> dict[str, int]:
    from harness.tracing import digest  # a process that trains nothing does not need it

    return {name: digest.of_tensor(weight) for name, weight in weights.items()}
