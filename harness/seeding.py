"""Sets and restores the random generators, and the switches that make a device repeat itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = [
    "GeneratorStates",
    "generator_states",
    "generators_restored",
    "make_deterministic",
    "seed_everything",
    "set_generator_states",
]

GeneratorStates = dict[str, Any]
"""Of tensors, tuples and numbers alone, so that `torch.load(weights_only=True)` reads it back."""


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device, as `transformers.set_seed` does."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # every device's generator included


def generator_states() -> GeneratorStates:
    """Where the global generators of Python, NumPy and torch stand, on every device."""
    numpy = np.random.get_state(legacy=False)
    keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": keys}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_generator_states(states: GeneratorStates) -> None:
    """Put the generators back to where they stood."""
    random.setstate(states["python"])
    numpy = states["numpy"]
    keys = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": keys}})
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


@contextmanager
def generators_restored() -> Iterator[None]:
    """Whatever is drawn inside is undone on leaving."""
    states = generator_states()
    try:
        yield
    finally:
        set_generator_states(states)


def make_deterministic(device: torch.device, num_threads: int) -> None:
    """Fix what else sums depend on: the number of threads, and on CUDA the choice of kernels.

    On CUDA `CUBLAS_WORKSPACE_CONFIG` must be set before the process first touches the device; the
    runner does that.
    """
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
