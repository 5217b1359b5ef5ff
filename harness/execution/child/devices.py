"""Prints how many devices of each kind torch can use here, as JSON."""

from __future__ import annotations

import json
from typing import Any

import torch

from harness.spec.recipe import DEVICES
from harness.training.devices import absence

__all__ = ["main"]


def main() -> None:
    """Print the number by kind; kinds that are absent are left out."""
    here = [name for name in DEVICES if not absence(name)]
    print(json.dumps({name: _count(name) for name in here}))  # noqa: T201  # its purpose


def _count(name: str) -> int:
    module: Any = torch.get_device_module(name)
    return int(module.device_count()) if hasattr(module, "device_count") else 1


if __name__ == "__main__":
    main()
