"""The watched models, and the names of their parameters and buffers.

One model's tensors keep the names that the model gives them. If several models are watched, the
name of its class stands before the names of each, with a number from the second of a class on.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["WatchedNames"]


class WatchedNames:
    """Names of watched tensors, in the order of the models."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []
        self._bare: dict[str, Tensor] = {}
        self._frozen_prefixes: dict[int, str] = {}
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

    def fix(self) -> None:
        """From now on no name changes: what is added later has a prefix, what is here keeps its."""
        self._frozen_prefixes = {id(model): self._prefix(model) for model in self.models}

    def read(self) -> None:
        """Read the names again, since a model may have been changed or wrapped."""
        self.parameters, self.buffers, self._names = {}, {}, {}
        for model in self.models:
            prefix = self._prefix(model)
            for name, parameter in model.named_parameters():
                if parameter not in self._names:
                    self._names[parameter] = f"{prefix}{name}"
                    self.parameters[f"{prefix}{name}"] = parameter
            for name, buffer in model.named_buffers():
                self.buffers[f"{prefix}{name}"] = buffer
        for name, tensor in self._bare.items():
            if tensor not in self._names:
                self._names[tensor] = name
                self.parameters[name] = tensor

    def complete(self) -> bool:
        """Whether every tensor has its memory; a lazy module gets it in its first forward pass."""
        tensors = (*self.parameters.values(), *self.buffers.values())
        return not any(is_lazy(tensor) for tensor in tensors)

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._names

    def of(self, tensor: Tensor) -> str | None:
        """The name of a parameter; None if it is not watched."""
        return self._names.get(tensor)

    def _prefix(self, model: nn.Module) -> str:
        if id(model) in self._frozen_prefixes:
            return self._frozen_prefixes[id(model)]
        if len(self.models) == 1 and not self._bare:
            return ""
        kind = type(model).__name__
        same = [each for each in self.models if type(each).__name__ == kind]
        place = next(place for place, each in enumerate(same) if each is model)
        return f"{kind}." if not place else f"{kind}-{place + 1}."
