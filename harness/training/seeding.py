"""Sets and restores the random generators, and the switches that make a device repeat itself."""

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
        "devices": devices.generator_states(),
    }


def set_generator_states(states: GeneratorStates) -> None:
    """Put the generators back to where they stood."""
    random.setstate(states["python"])
    numpy = states["numpy"]
    keys = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": keys}})
    torch.set_rng_state(states["torch"])
    devices.set_generator_states(states["devices"])


@contextmanager
def generators_restored() -> Iterator[None]:
    """Whatever is drawn inside is undone on leaving."""
    states = generator_states()
    try:
        yield
    finally:
        set_generator_states(states)


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = (":4096:8", ":16:8")
_ATTENTION = ("flash", "mem_efficient", "cudnn", "math")


def make_deterministic(device: torch.device, num_threads: int) -> None:
    """Fix what else sums depend on: the number of threads, and on CUDA the choice of kernels.

    To be called before the process first touches CUDA, since cuBLAS reads its workspace's size only
    then. From here on an operation that cannot repeat itself raises; `refused_operation` names it.

    Raises `RuntimeError` where it comes too late.
    """
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)
    # A help for finding reads of memory that nobody wrote; it costs a pass over all that is made.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    if device.type != "cuda":
        return
    if os.environ.get(_WORKSPACE) not in _WORKSPACES:
        if torch.cuda.is_initialized():
            raise RuntimeError(
                f"CUDA was touched before {_WORKSPACE} was one of {', '.join(_WORKSPACES)}"
            )
        os.environ[_WORKSPACE] = _WORKSPACES[0]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    for name in _ATTENTION:  # the one made of matrix products alone; others add up as they come
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(name == "math")


def deterministic_flags() -> dict[str, Any]:
    """What `make_deterministic` sets on CUDA, as it stands, as JSON values."""
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
    """The operation that deterministic mode refused; None where the error is another."""
    found = re.match(r"(\S+) does not have a deterministic implementation", str(error))
    if found:
        return found.group(1)
    return "a cuBLAS call" if "because it uses CuBLAS" in str(error) else None
