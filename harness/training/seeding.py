"""Seeds and restores the random generators, and makes a device's results repeatable."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from harness.training import devices

__all__ = [
    "GeneratorStates",
    "deterministic_flags",
    "generator_states",
    "generators_restored",
    "make_deterministic",
    "refused_operation",
    "seed_everything",
    "set_generator_states",
]

GeneratorStates = dict[str, Any]
"""Only tensors, tuples and numbers, so `torch.load(weights_only=True)` can read it."""


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device, as `transformers.set_seed` does."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # also seeds the generator of every device


def generator_states() -> GeneratorStates:
    """The states of the global generators of Python, NumPy and torch, on every device."""
    numpy = np.random.get_state(legacy=False)
    keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": keys}},
        "torch": torch.get_rng_state(),
        "devices": devices.generator_states(),
    }


def set_generator_states(states: GeneratorStates) -> None:
    """Restore the generators to `states`."""
    random.setstate(states["python"])
    numpy = states["numpy"]
    keys = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": keys}})
    torch.set_rng_state(states["torch"])
    devices.set_generator_states(states["devices"])


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the generators on exit from the block."""
    states = generator_states()
    try:
        yield
    finally:
        set_generator_states(states)


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")  # by the documentation of cuBLAS
_ATTENTION = ("flash", "mem_efficient", "cudnn", "math")


def make_deterministic(device: torch.device, num_threads: int) -> None:
    """Fix the number of threads and, on CUDA, the kernels, since rounding depends on both.

    Must be called before the process initializes CUDA, when cuBLAS reads the size of its workspace.
    After this call torch raises for a nondeterministic operation; `refused_operation` names it.

    Raises `RuntimeError` if CUDA is already initialized with another workspace.
    """
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)
    # Filling helps to find reads of uninitialized memory, but it writes every new tensor once.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    if device.type != "cuda":
        return
    if os.environ.get(_WORKSPACE) not in _DETERMINISTIC_WORKSPACES:
        if torch.cuda.is_initialized():
            allowed = ", ".join(_DETERMINISTIC_WORKSPACES)
            raise RuntimeError(
                f"CUDA was initialized before {_WORKSPACE} was set to one of {allowed}"
            )
        os.environ[_WORKSPACE] = _DETERMINISTIC_WORKSPACES[0]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    for name in _ATTENTION:  # only `math` is deterministic; the others vary the order of sums
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(name == "math")


def deterministic_flags() -> dict[str, Any]:
    """The current values of the flags that `make_deterministic` sets on CUDA, as JSON values."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return {
        _WORKSPACE: os.environ.get(_WORKSPACE),
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
        "tf32_matmul": cuda.matmul.allow_tf32,
        "tf32_cudnn": cudnn.allow_tf32,
        "attention": [name for name in _ATTENTION if getattr(cuda, f"{name}_sdp_enabled")()],
    }


def refused_operation(error: BaseException) -> str | None:
    """The operation that deterministic mode refused; None for any other error."""
    found = re.match(r"(\S+) does not have a deterministic implementation", str(error))
    if found:
        return found.group(1)
    return "a cuBLAS call" if "because it uses CuBLAS" in str(error) else None
