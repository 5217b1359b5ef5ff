"""The optimizers that update watched parameters, held weakly, since scripts make them again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

from torch import Tensor
from torch.optim import Optimizer

from harness.results.record import OptimizerSeen
from harness.tracing.by_hand import rule_of
from harness.tracing.names import WatchedNames
from harness.tracing.wrappers import unwrapped_optimizer

__all__ = ["WatchedOptimizers", "living_optimizers"]


def living_optimizers() -> Iterator[Optimizer]:
    """Every optimizer of the process that is no wrapper around another."""
    for value in gc.get_objects():
        # `issubclass` of the type, since `isinstance` asks objects for `__class__`, and runs code.
        if not issubclass(type(value), Optimizer) or unwrapped_optimizer(value) is not value:
            continue
        if getattr(value, "param_groups", None):
            yield value


class WatchedOptimizers:
    """Knows optimizers, and counts their steps in `seen`."""

    def __init__(self, names: WatchedNames, seen: list[OptimizerSeen]) -> None:
        self._names, self._seen = names, seen
        self._known: list[weakref.ref[Optimizer]] = []
        self._places: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()

    @property
    def living(self) -> list[Optimizer]:
        """The watched optimizers that still exist."""
        return [each for each in (known() for known in self._known) if each is not None]

    def hold(self, parameter: Tensor) -> bool:
        """Whether a watched optimizer that still exists holds a parameter."""
        return any(
            parameter is each
            for optimizer in self.living
            for group in optimizer.param_groups
            for each in group["params"]
        )

    def add(self, optimizer: Optimizer) -> None:
        """Watch an optimizer without wrappers."""
        if not any(optimizer is each for each in self.living):
            self._known = [known for known in self._known if known() is not None]
            self._known.append(weakref.ref(optimizer))

    def adopts(self, optimizer: Optimizer) -> bool:
        """Watch an optimizer if it updates a watched parameter; return whether it is a new one."""
        if any(optimizer is each for each in self.living):
            return False
        held = (p for group in optimizer.param_groups for p in group["params"])
        if any(p in self._names for p in held):
            self.add(optimizer)
            return True
        return False

    def count_step(self, optimizer: Optimizer) -> None:
        """A watched optimizer has stepped."""
        place = self._places.get(optimizer)
        if place is None:
            place = self._places[optimizer] = len(self._seen)
            held = sum(len(group["params"]) for group in optimizer.param_groups)
            rule = rule_of(optimizer)
            self._seen.append(OptimizerSeen(rule=rule, parameters=held, steps=0))
        one = self._seen[place]
        self._seen[place] = one.model_copy(update={"steps": one.steps + 1})

    def forget(self) -> None:
        """Hold no optimizer any more."""
        self._known = []
        self._places.clear()
