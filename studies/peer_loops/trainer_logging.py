"""The stock Trainer with `logging_steps=1`: its own way to let one see every step."""

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
    """Train as the Trainer's loop does, and log loss, rate and gradient norm at each step."""
    module: Any = trainer
    original = module.TrainingArguments

    class Logging(transformers.TrainingArguments):
        def __init__(self, **asked: Any) -> None:
            super().__init__(**{**asked, "logging_strategy": "steps", "logging_steps": 1})

    module.TrainingArguments = Logging
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            return trainer.train(workload, recipe, probe)
    finally:
        module.TrainingArguments = original
