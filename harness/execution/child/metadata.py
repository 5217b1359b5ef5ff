"""The environment of a run: versions, machine, device, threads, flags, commit. It is only read."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from harness.execution.commit import find_commit, find_repository
from harness.tracing.device_digest import implementation
from harness.training.devices import absence
from harness.training.seeding import deterministic_flags
from harness.version import __version__

__all__ = ["describe"]

_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "evaluate", "numpy", "tokenizers")
_OVERRIDING = ("ACCELERATE_", "OMP_", "MKL_", "CUBLAS_", "NVIDIA_TF32", "PYTORCH_", "TORCH_")


def describe(
    device: torch.device, commit: str | None = None, repository: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Facts that may change what is computed or how fast, as JSON values.

    `commit`: that of the harness, empty if it has none. `repository`: the state of the user's, see
    `find_repository`. None: git is asked, for the working folder. A package that is not installed
    has no version.
    """
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "harness": __version__,
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        # Variables with these prefixes override the code.
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(_OVERRIDING)},
        "commit": find_commit() if commit is None else commit or None,
        "repository": find_repository(Path.cwd()) if repository is None else repository,
    }
    if device.type == "cuda" and not absence("cuda"):
        facts["device_name"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda
        facts["driver"] = _driver()
        facts["cudnn"] = torch.backends.cudnn.version()
        facts["deterministic"] = deterministic_flags()
        facts["digests_by"] = implementation(device)
    return facts


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _driver() -> str | None:
    """The version of NVIDIA's kernel module, if it is known."""
    try:
        line = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return None
    found = re.search(r"\b\d+\.\d+(\.\d+)?\b", line)
    return found[0] if found else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
