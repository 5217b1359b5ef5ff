"""The header of a record: everything of a run but its traces, as JSON with a version."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.spec.case import RunSpec

__all__ = [
    "COLLAPSE",
    "GLOBAL_GENERATOR",
    "OBSERVATIONS_KEPT",
    "SCHEMA_VERSION",
    "Counts",
    "Evaluation",
    "Header",
    "Observation",
    "TraceFile",
]

SCHEMA_VERSION = 1
"""1: first version."""

COLLAPSE = "majority-class collapse"
"""How the warning begins that every answer of the trained model was one and the same class."""


GLOBAL_GENERATOR = "the global generator"
"""The setting `loader.sampler` where the order is drawn from torch's own generator."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class TraceFile(_Stored):
    """One Parquet file of a record."""

    rows: int
    xxh3_128: str


class Evaluation(_Stored):
    """Metrics of the model after `step` updates, over `rows` rows of the evaluation set."""

    step: int
    rows: int
    metrics: dict[str, float]
    loss_metrics: dict[str, float] = {}
    """The mean loss, and what follows from it, where the loop told them."""


OBSERVATIONS_KEPT = 4
"""Observations of one kind that are kept; the first ones say where it began."""


class Observation(_Stored):
    """Something that was seen at a step, and a number that belongs to it."""

    step: int
    value: float | None = None


class Counts(BaseModel):
    """What a run has seen so far, whichever probe saw it."""

    steps: int = 0
    micro_batches: int = 0
    samples: int = 0
    parameters: int = 0
    """Number of trained scalars."""
    initial_weights: str | None = None
    """Digest of the weights before the first step, in hexadecimal."""
    evaluations: list[Evaluation] = []
    remedies: list[str] = []
    """What the loop did to work around faults of its framework."""
    observed: dict[str, list[Observation]] = {}
    """Doings outside backward pass and update that explain a difference, each at its first steps;
    see `circumstances.py`."""
    settings: dict[str, Any] = {}
    """How the training was set up, before its first step; see `live_settings.py`."""


class Header(_Stored):
    """Everything of a run but its traces."""

    schema_version: int
    spec: RunSpec
    status: Literal["completed", "stopped", "failed", "interrupted", "not run"]
    """Stopped: it ended after the steps that `spec.stop_after` asks for. Not run: what it needs is
    not here; `error` says what."""
    environment: dict[str, Any]
    digest_algorithm: str = ""
    steps_expected: int | None = None
    """Updates that the recipe asks for on this data."""
    steps_per_epoch: int | None = None
    """Updates that make an epoch."""
    parameters: int = 0
    """Number of trained scalars."""
    steps: int = 0
    micro_batches: int = 0
    samples: int = 0
    epochs: float = 0.0
    """Samples seen over rows in the training set."""
    repeated_samples: int = 0
    """Samples that had been seen before in the same epoch, as processes fill up their last
    batches."""
    initial_weights: str | None = None
    """Digest of the weights before the first step, in hexadecimal."""
    tensors_every: int = 1
    """The `tensors` trace holds each step whose number is a multiple of this, and the first."""
    evaluations: tuple[Evaluation, ...] = ()
    resumed_from: tuple[int, ...] = ()
    """Steps whose checkpoints the run went on from, each in a new process."""
    wall_s: float | None = None
    """Seconds in the loop, of the last process. Not a benchmark: whatever else ran on the machine
    is in it."""
    warnings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    """What the loop did to work around faults of its framework."""
    observed: dict[str, tuple[Observation, ...]] = {}
    """As in `Counts`."""
    settings: dict[str, Any] = {}
    """As in `Counts`."""
    error: str | None = None
    """Why it failed, in a line."""
    traceback: str | None = None
    traces: dict[str, TraceFile] = {}

    @property
    def final_metrics(self) -> dict[str, float]:
        """Metrics of the evaluation after the last step; empty if there was none."""
        return self.evaluations[-1].metrics if self.evaluations else {}

    @property
    def collapsed(self) -> bool:
        """Whether the trained model gives one answer to everything, so that its scores mean
        nothing."""
        return any(warning.startswith(COLLAPSE) for warning in self.warnings)
