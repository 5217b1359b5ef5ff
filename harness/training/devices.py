"""Devices other than the CPU: whether one is here, and where its random generators stand.

Nothing here is tried on a device that is not here: it answers why not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["absence", "generator_states", "set_generator_states"]

_ACCELERATORS = ("cuda", "mps", "xpu")


def absence(name: str) -> str:
    """Why nothing can run on that device here; empty where it can."""
    if name == "cpu" or _is_available(name):
        return ""
    return f"no {name.upper()} device"


def _is_available(name: str) -> bool:
    if name == "mps":
        return torch.backends.mps.is_available()
    module: Any = torch.get_device_module(name)
    return bool(module.is_available())


def generator_states() -> dict[str, list[Tensor]]:
    """Where the generators of each device stand, by the kind of device; none for the CPU."""
    found = {}
    for name in filter(_is_available, _ACCELERATORS):
        module: Any = torch.get_device_module(name)
        found[name] = [module.get_rng_state()] if name == "mps" else module.get_rng_state_all()
    return found


def set_generator_states(states: dict[str, list[Tensor]]) -> None:
    """Put them back to where they stood."""
    for name, tensors in states.items():
        module: Any = torch.get_device_module(name)
        if name == "mps":
            module.set_rng_state(tensors[0])
        else:
            module.set_rng_state_all(tensors)
