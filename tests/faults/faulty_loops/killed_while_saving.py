"""The plain loop, whose first process is killed halfway through writing its second checkpoint."""

import os
import signal
from pathlib import Path
from typing import Any

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the plain loop does; a process that goes on from a checkpoint lives."""
    whole, seen = torch.save, []

    def half(saved: dict[str, Any], path: Path) -> None:
        whole(saved, path)
        seen.append(path)
        if len(seen) == 3 and workload.resume_from is None:  # each checkpoint has two files
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half  # type: ignore[assignment]  # as the plain loop calls it
    return plain.train(workload, recipe, probe)
