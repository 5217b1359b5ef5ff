"""Accelerators: whether one is available, and the states of its random generators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["absence", "generator_states", "set_generator_states"]

_ACCELERATORS = ("cuda", "mps", "xpu")


def absence(name: str) -> str:
    """The reason why the device `name` cannot be used here; empty if it can."""
    if name == "cpu" or _is_available(name):
        return ""
    return f"no {name.upper()} device"


def _is_available(name: str) -> bool:
    if name == "mps":
        return torch.backends.mps.is_available()
    module: Any = torch.get_device_module(name)
    return bool(module.is_available())


def generator_states() -> dict[str, list[Tensor]]:
    """The states of the generators of each device, by the kind of device; none for the CPU."""
    states = {}
    for name in filter(_is_available, _ACCELERATORS):
        module: Any = torch.get_device_module(name)
        states[name] = [module.get_rng_state()] if name == "mps" else module.get_rng_state_all()
    return states


def set_generator_states(states: dict[str, list[Tensor]]) -> None:
    """Restore the generators of each device to `states`."""
    for name, tensors in states.items():
        module: Any = torch.get_device_module(name)
        if name == "mps":
            module.set_rng_state(tensors[0])
        else:
            module.set_rng_state_all(tensors)
