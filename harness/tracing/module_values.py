"""Inputs or outputs of a module, also in nested containers: names, digests and norms."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
import xxhash
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harness.tracing import digest
from harness.tracing.sketch import Sketches

__all__ = ["Values", "by_name", "leaves"]


@dataclass
class Values:
    """The values at one place, by name and type, in order."""

    digests: dict[str, int] = field(default_factory=dict)
    norms: list[float] = field(default_factory=list)
    """2-norm of each tensor of floats; 0 for any other value."""
    sketches: list[list[float]] = field(default_factory=list)
    """Sketch of each tensor of floats; empty for any other value, and if none was wanted."""

    def add(self, name: str, value: object, sketches: Sketches | None = None) -> None:
        """Append one tensor or one plain value, with a sketch if `sketches` are passed.

        A name keeps its first value: a graph may go backward a second time.
        """
        local = value.to_local() if isinstance(value, DTensor) else value
        kind = str(local.dtype) if isinstance(local, Tensor) else type(local).__name__
        kind = kind.removeprefix("torch.")
        if f"{name} {kind}" in self.digests:
            return
        norm, sketch = 0.0, []
        if isinstance(local, Tensor):
            value_digest = digest.of_batch({"": local})
            if local.is_floating_point():
                norm = float(torch.linalg.vector_norm(local.detach().float()))
                if sketches is not None:
                    sketch = sketches.of(f"{name} {local.numel()}", local)
        else:
            value_digest = xxhash.xxh3_64_intdigest(repr(local).encode())
        self.digests[f"{name} {kind}"] = value_digest
        self.norms.append(norm)
        self.sketches.append(sketch)


def by_name(module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of `module`, by the parameter names of its `forward`."""
    named = {
        name
        for name, each in inspect.signature(module.forward).parameters.items()
        if each.kind is each.POSITIONAL_OR_KEYWORD
    }
    names = [name for name in inspect.signature(module.forward).parameters if name in named]
    names += [str(number) for number in range(len(names), len(args))]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    """Tensors and plain values in nested containers, each with its dotted path."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, (Tensor, bool, int, float, str)):
        yield name, value
    elif isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, (list, tuple)):
        inside = enumerate(value)
    elif is_dataclass(value) and not isinstance(value, type):
        inside = ((each.name, getattr(value, each.name, None)) for each in fields(value))
    for key, part in inside:
        yield from leaves(part, f"{name}.{key}" if name else str(key))
