"""The stages of training in causal order, and what it is to differ in one. No values are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

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


class Divergence(BaseModel):
    """One place where two runs differ."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    step: int
    micro_batch: int | None = None
    rank: int | None = None
    """Of several processes that train together, the one in which the two differ."""
    stage: str
    tensor: str | None = None
    """The first parameter, in the model's order, that differs there."""
    tensors_differing: int | None = None
    """How many parameters differ there, where the trace holds each."""
    reference: Any = None
    candidate: Any = None
    max_ulp: float | None = None
    """Distance in units of the last place of single precision, for a scalar."""
    relative: float | None = None
    """|candidate - reference| over |reference|, for a scalar."""
    detail: str = ""
    """What exactly differs: which rows, what factor, from which step on."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Sorts by step, then by stage, then by micro-batch."""
        return self.step, STAGES.index(self.stage), self.micro_batch or 0


class StageDifference(BaseModel):
    """How much of one stage differs."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    stage: str
    compared: int
    """Values that both sides have."""
    differing: int
    """Values that differ, and those that only one side has."""
    first: Divergence | None = None
    follows: str | None = None
    """An earlier stage whose difference may have made this one; None: nothing earlier explains it,
    so that it is one of its own."""


def ulp_distance(reference: float | None, candidate: float | None) -> float | None:
    """How many single-precision numbers the second is away; None unless both are finite."""
    if reference is None or candidate is None:
        return None
    if not (np.isfinite(reference) and np.isfinite(candidate)):
        return None
    with np.errstate(over="ignore"):
        pair = np.array([reference, candidate], dtype=np.float32).view(np.int32).astype(np.int64)
    ordered = np.where(pair < 0, -(pair & 0x7FFFFFFF), pair)
    return float(abs(ordered[0] - ordered[1]))


def shown_value(value: Any) -> Any:
    """Digests in hexadecimal; anything else as it is."""
    return digest(value) if isinstance(value, int) else value
