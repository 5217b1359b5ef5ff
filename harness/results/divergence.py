"""The stages of training in causal order, and the data of a divergence. It reads no records."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from harness.results.base import Result
from harness.units import digest

__all__ = ["STAGES", "Divergence", "StageDifference", "shown_value", "ulp_distance"]

STAGES = (
    "config",
    "initial_weights",
    "data_order",
    "batch_content",
    "rng",
    "loss",
    "gradients",
    "grad_norm",
    "learning_rate",
    "weights",
    "optimizer_state",
    "step_count",
    "evaluation",
)
"""Stages of training in causal order."""


class Divergence(Result):
    """One place where two runs differ."""

    step: int
    """The optimizer update, counted from 1; 0 is before the first update."""
    micro_batch: int | None = None
    """Number of the micro-batch within the step, from 1; None if the stage has none."""
    rank: int | None = None
    """With several processes: the rank of the process that differs."""
    stage: str
    """The stage of training: config, initial_weights, data_order, batch_content, rng, loss,
    gradients, grad_norm, learning_rate, weights, optimizer_state, step_count or evaluation."""
    tensor: str | None = None
    """The first parameter that differs, in the order of the model."""
    tensors_differing: int | None = None
    """Number of parameters that differ, if each of them was recorded."""
    reference: Any = None
    """The value of the reference: a number, row ids, metrics or a digest in hexadecimal."""
    candidate: Any = None
    """The value of the candidate."""
    max_ulp: float | None = None
    """For a scalar: the distance in units of the last place of single precision."""
    relative: float | None = None
    """For a scalar: |candidate - reference| / |reference|."""
    detail: str = ""
    """What differs: which rows, which factor, from which step on."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Sort key: step, micro-batch, stage.

        What follows the forward passes comes after all micro-batches of its step. Rows that one run
        alone has in a step come before them: another division changes how each loss is scaled.
        """
        stage = STAGES.index(self.stage)
        if self.stage == "data_order" and None in (self.reference, self.candidate):
            return self.step, 0, stage
        last = sys.maxsize if stage > STAGES.index("loss") else 0
        return self.step, self.micro_batch or last, stage


class StageDifference(Result):
    """How much of one stage differs."""

    stage: str
    """The stage of training."""
    compared: int
    """Number of values that both runs have."""
    differing: int
    """Number of values that differ, with those that only one run has."""
    first: Divergence | None = None
    """The first divergence in this stage."""
    follows: str | None = None
    """The earliest stage from which this difference may follow; None if it is independent."""


def ulp_distance(reference: float | None, candidate: float | None) -> float | None:
    """The distance of two numbers in units of the last place of single precision.

    None unless both are finite.
    """
    if reference is None or candidate is None:
        return None
    if not (np.isfinite(reference) and np.isfinite(candidate)):
        return None
    with np.errstate(over="ignore"):
        pair = np.array([reference, candidate], dtype=np.float32).view(np.int32).astype(np.int64)
    ordered = np.where(pair < 0, -(pair & 0x7FFFFFFF), pair)
    return float(abs(ordered[0] - ordered[1]))


def shown_value(value: Any) -> Any:
    """The value as a report shows it: a digest in hexadecimal, anything else unchanged."""
    return digest(value) if isinstance(value, int) else value
