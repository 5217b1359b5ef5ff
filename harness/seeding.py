"""Sets and restores the random generators, and the switches that make a device repeat itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["generators_restored", "make_deterministic", "seed_everything"]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device, as `transformers.set_seed` does."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # every device's generator included


@contextmanager
def generators_restored() -> Iterator[None]:
    """Whatever is drawn inside is undone on leaving."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def make_deterministic(device: torch.device, num_threads: int) -> None:
    """Fix what else sums depend on: the number of threads, and on CUDA the choice of kernels.

    On CUDA `CUBLAS_WORKSPACE_CONFIG` must be set before the process first touches the device; the
    runner does that.
    """
    torch.set_num_threads(num_threads)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
