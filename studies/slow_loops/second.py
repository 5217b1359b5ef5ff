"""The plain loop, slowed by the shares for all loops and for one in the file named by `PLANTED`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from harness.spec.recipe import Recipe
from harness.training.loops import plain
from harness.training.probe import Probe
from harness.training.workload import Workload
from studies.slow_loops.extra_work import Slowed


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    planted = json.loads(Path(os.environ["PLANTED"]).read_text(encoding="utf-8"))
    return plain.train(workload, recipe, Slowed(probe, share=planted["all"] + planted["one"]))
