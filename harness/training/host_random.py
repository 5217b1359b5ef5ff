"""Draws every random number of a training from the CPU's generator, whatever the device.

Each device has a generator of its own, with other numbers from the same seed. Under this mode an
operation that draws runs on the CPU, and its result moves to the device. Then dropout is the same
on every device, and what is left between two devices is rounding. A generator that the code passes
itself is left alone.

It works below autograd, so passes that activation checkpointing repeats are covered: the state of
the CPU's generator is restored for them. On a CPU the same operations draw the same numbers in the
same order, so there the mode changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from harness.errors import SpecError
from harness.spec.recipe import Recipe

__all__ = ["HostRandomNumbers", "drawing"]

_ATTENTION = ("scaled_dot_product", "flash_attention", "efficient_attention")


class HostRandomNumbers(TorchDispatchMode):
    """A context in which operations on one type of device draw from the CPU's generator."""

    def __init__(self, device_type: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self._device_type = device_type

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, on the CPU if it draws."""
        kwargs = kwargs or {}
        if not _draws(function) or not self._is_meant(args, kwargs):
            return function(*args, **kwargs)
        if function is torch.ops.aten.native_dropout.default:
            return _dropout(*args, **kwargs)
        if any(part in function.__name__ for part in _ATTENTION):
            return _attention(function, args, kwargs)
        return _on_cpu(function, args, kwargs, self._device_type)

    def _is_meant(self, args: Any, kwargs: dict[str, Any]) -> bool:
        """Whether the operation draws from the global generator of this type of device."""
        if kwargs.get("generator") is not None:
            return False
        wanted = kwargs.get("device")
        if wanted is not None:
            return torch.device(wanted).type == self._device_type
        tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        of = tensors[0].device.type if tensors else "cpu"
        return of == self._device_type


def drawing(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """A context in which a training draws its numbers as the recipe asks."""
    return HostRandomNumbers(device.type) if recipe.random_numbers == "host" else nullcontext()


@lru_cache(4096)
def _draws(function: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in function.tags


def _dropout(value: Tensor, p: float, train: bool | None = True) -> tuple[Tensor, Tensor]:
    """As a CPU computes dropout; accelerators have one operation for all of it."""
    if not train or not p:
        return value.clone(), torch.ones_like(value, dtype=torch.bool)
    if p == 1:
        return torch.zeros_like(value), torch.zeros_like(value, dtype=torch.bool)
    kept = torch.empty_like(value, device="cpu").bernoulli_(1 - p)
    noise = kept.to(value.device).div_(1 - p)
    return value * noise, noise != 0


def _attention(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """A fused kernel draws its dropout inside, where no other generator can be used."""
    schema: Any = getattr(function, "_schema")  # noqa: B009  # an operation, not any callable
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    if given.get("dropout_p"):
        raise SpecError(
            "random_numbers=host needs an attention kernel without a generator of its own",
            schema.name,
            "set attention to eager, or enable only math attention",
        )
    return function(*args, **kwargs)


def _on_cpu(function: Any, args: Any, kwargs: dict[str, Any], device_type: str) -> Any:
    """Run the operation on copies on the CPU; results and changed arguments move back."""
    moved: dict[int, Tensor] = {}
    target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None

    def to_cpu(value: Tensor) -> Tensor:
        nonlocal target
        target = value.device if target is None else target
        return moved.setdefault(id(value), value.cpu())

    host_args, host_kwargs = tree_map_only(Tensor, to_cpu, (args, kwargs))
    if "device" in host_kwargs:
        host_kwargs = {**host_kwargs, "device": torch.device("cpu")}
    result = function(*host_args, **host_kwargs)
    originals = {
        id(moved[id(value)]): value
        for value in (*args, *kwargs.values())
        if isinstance(value, Tensor)
    }

    def back(value: Tensor) -> Tensor:
        original = originals.get(id(value))
        if original is None:
            return value.to(device_type if target is None else target)
        return original if original is value else original.copy_(value)

    return tree_map_only(Tensor, back, result)
