"""The watched models, and the names of their parameters and buffers.

One model's tensors keep the names that the model gives them. If several models are watched, the
name of its class stands before the names of each, with a number from the second of a class on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["WatchedNames"]


class WatchedNames:
    """Names of watched tensors, in the order of the models."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []
        self._bare: dict[str, Tensor] = {}
        self._prefixes: dict[int, str] = {}
        self._fixed = False
        self.parameters: dict[str, Tensor] = {}
        """Each parameter once, by name."""
        self.buffers: dict[str, Tensor] = {}
        """Each buffer, by name."""
        self._names: dict[Tensor, str] = {}

    def add(self, model: nn.Module) -> bool:
        """Add a model without wrappers; return whether it is new.

        A model inside a watched one is not new. A model around watched ones takes their place.
        """
        if any(model is each for known in self.models for each in known.modules()):
            return False
        inside = {id(each) for each in model.modules()}
        self.models = [each for each in self.models if id(each) not in inside]
        self.models.append(model)
        self.read()
        return True

    def add_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Add parameters that no module owns."""
        self._bare |= tensors
        self.read()

    @property
    def is_mixed(self) -> bool:
        """Whether there are models, and parameters that no module owns."""
        return bool(self.models and self._bare)

    def fix(self) -> None:
        """From now on no name changes and no tensor moves; what is added later comes last."""
        self._prefixes = {id(model): self._prefix(model) for model in self.models}
        self._fixed = True

    def forget(self) -> None:
        """Hold no model and no tensor any more."""
        self.models, self._bare, self._names = [], {}, {}
        self.parameters, self.buffers = {}, {}

    def read(self) -> None:
        """Read the names again, since a model may have been changed or wrapped."""
        if not self._fixed:
            self.parameters, self.buffers, self._names = {}, {}, {}
        held = {id(buffer) for buffer in self.buffers.values()}
        for model in self.models:
            prefix = self._prefix(model)
            for name, parameter in model.named_parameters():
                self._name(f"{prefix}{name}", parameter)
            for name, buffer in model.named_buffers():
                if id(buffer) not in held:
                    self.buffers[self._free(f"{prefix}{name}", self.buffers)] = buffer
        for name, tensor in self._bare.items():
            self._name(name, tensor)

    def _name(self, name: str, parameter: Tensor) -> None:
        if parameter not in self._names:
            free = self._free(name, self.parameters)
            self._names[parameter], self.parameters[free] = free, parameter

    def _free(self, name: str, taken: Mapping[str, Tensor]) -> str:
        """The name, or one with a number if an earlier tensor has it."""
        if not self._fixed or name not in taken:
            return name
        return next(free for n in itertools.count(2) if (free := f"{name}-{n}") not in taken)

    def complete(self) -> bool:
        """Whether every tensor has its memory; a lazy module gets it in its first forward pass."""
        tensors = (*self.parameters.values(), *self.buffers.values())
        return not any(is_lazy(tensor) for tensor in tensors)

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._names

    def of(self, tensor: Tensor) -> str | None:
        """The name of a parameter; None if it is not watched."""
        return self._names.get(tensor)

    def prefixed_models(self) -> dict[str, nn.Module]:
        """Each watched model by what stands before the names of its tensors."""
        return {self._prefix(model): model for model in self.models}

    def _prefix(self, model: nn.Module) -> str:
        if id(model) in self._prefixes:
            return self._prefixes[id(model)]
        if len(self.models) == 1 and not self._bare:
            return ""
        kind = type(model).__name__
        same = [each for each in self.models if type(each).__name__ == kind]
        place = next(place for place, each in enumerate(same) if each is model)
        return f"{kind}." if not place else f"{kind}-{place + 1}."
