"""The stock Trainer with `logging_steps=1`, its own way to report every step."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch
import transformers

from harness.spec.recipe import Recipe
from harness.training.loops import trainer
from harness.training.probe import Probe
from harness.training.workload import Workload


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train as the loop `trainer` does, and log loss, learning rate and gradient norm per step."""
    module: Any = trainer
    original = module.TrainingArguments

    class Logging(transformers.TrainingArguments):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**{**arguments, "logging_strategy": "steps", "logging_steps": 1})

    module.TrainingArguments = Logging
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            return trainer.train(workload, recipe, probe)
    finally:
        module.TrainingArguments = original
