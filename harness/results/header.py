"""The header of a record: everything about a run except its traces, as versioned JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.spec.case import RunSpec
from harness.spec.command import CommandSpec

__all__ = [
    "COLLAPSE",
    "GLOBAL_GENERATOR",
    "OBSERVATIONS_KEPT",
    "OUTSIDE_OF_MODULES",
    "READ_FROM_GRAPH",
    "SCHEMA_VERSION",
    "Counts",
    "Evaluation",
    "Header",
    "Observation",
    "OptimizerSeen",
    "Site",
    "TraceFile",
    "commit_of",
]

SCHEMA_VERSION = 2
"""1: first version. 2: commands are recorded as well as loops. `loss` is the scalar on which
`backward` is called, and the workload's own loss is `task_loss`; rows have digests; learning rates
are recorded by parameter."""

COLLAPSE = "majority-class collapse"
"""Start of the warning that the trained model predicts the same class for every row."""


GLOBAL_GENERATOR = "the global generator"
"""Value of the setting `loader.sampler` if the order is drawn from torch's global generator."""


def commit_of(environment: Mapping[str, Any]) -> str | None:
    """The commit that was trained, with '+' if files differ from it; None if it is not known.

    That is the commit of the user's repository, and for older records that of the harness.
    """
    repository = environment.get("repository")
    if not isinstance(repository, dict) or not repository.get("commit"):
        found = environment.get("commit")
        return found if isinstance(found, str) else None
    return f"{repository['commit']}{'+' if repository.get('changed') else ''}"


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
    """The mean loss and metrics derived from it, if the loop reports them."""


OBSERVATIONS_KEPT = 4
"""Number of observations of one kind that are kept; the first one shows the start."""


READ_FROM_GRAPH = "passes_read_from_graph"
"""The observation that no module owns the parameters: the content of a batch is what autograd kept
of it, and the state of the generators is that after the forward pass."""
OUTSIDE_OF_MODULES = "passes_outside_of_modules"
"""The observation that modules own some of the parameters only: the first module that is called may
receive what was computed of the batch, after numbers were drawn."""


class Observation(_Stored):
    """Something observed at a step, with a number if it has one."""

    step: int
    value: float | None = None


class OptimizerSeen(_Stored):
    """One optimizer that updated weights during the run."""

    rule: str
    """The name of its class."""
    parameters: int
    """Number of tensors that it updates."""
    steps: int
    """Number of its steps."""


class Site(_Stored):
    """A line of the user's code that set something."""

    place: str
    """`FILE:LINE`, the file from the folder in which the run was started, if it is below it."""
    source: str = ""
    """The call as it stands there; empty if the file could not be read."""


class Counts(BaseModel):
    """The counts and observations of a run so far, for any probe."""

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
    """Observations that can explain a difference, each at its first steps; see
    `harness.tracing.observations`."""
    settings: dict[str, Any] = {}
    """The settings before the first step; see `harness.tracing.settings`."""
    sites: dict[str, Site] = {}
    """The lines that made `optimizer`, `schedule`, `loader`, `sampler` and `dropout`, that called
    `clip` and `backward`, as far as they are known; see `harness.tracing.sites`."""
    parameter_names: list[str] = []
    """Names of the watched parameters, in the order of the model."""
    optimizers: list[OptimizerSeen] = []
    """The optimizers that made a step, in the order of their first steps."""
    batches_from: int | None = None
    """The smallest rank of the processes that together compute one batch; None: not recorded."""
    unseen: list[str] = []
    """What could not be seen, one sentence each."""
    probe_fault: str | None = None
    """What failed inside the probe, which then detached; None: nothing failed."""


class Header(_Stored):
    """Everything about a run except its traces."""

    schema_version: int
    spec: RunSpec | CommandSpec
    status: Literal["completed", "stopped", "failed", "interrupted", "not run"]
    """`stopped`: the run ended after `spec.stop_after` steps. `not run`: something that the run
    needs is missing; `error` states what."""
    environment: dict[str, Any]
    digest_algorithm: str = ""
    steps_expected: int | None = None
    """Number of updates that the recipe requires on this data."""
    steps_per_epoch: int | None = None
    """Number of updates in an epoch."""
    parameters: int = 0
    """Number of trained scalars."""
    steps: int = 0
    micro_batches: int = 0
    samples: int = 0
    epochs: float = 0.0
    """Samples / rows of the training set."""
    repeated_samples: int = 0
    """Samples that were repeated in the same epoch, since processes pad their last batches."""
    initial_weights: str | None = None
    """Digest of the weights before the first step, in hexadecimal."""
    tensors_every: int = Field(1, ge=1, lt=2**31)
    """The `tensors` trace holds step 1 and each step that is a multiple of this number."""
    evaluations: tuple[Evaluation, ...] = ()
    resumed_from: tuple[int, ...] = ()
    """Steps of the checkpoints from which the run continued, each in a new process."""
    wall_s: float | None = None
    """Seconds in the loop, of the last process. Not a benchmark: it includes the effect of other
    programs on the machine."""
    warnings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    """What the loop did to work around faults of its framework."""
    observed: dict[str, tuple[Observation, ...]] = {}
    """As in `Counts`."""
    settings: dict[str, Any] = {}
    """As in `Counts`."""
    sites: dict[str, Site] = {}
    """As in `Counts`. Records before 0.3.0 have none."""
    parameter_names: tuple[str, ...] = ()
    """As in `Counts`."""
    optimizers: tuple[OptimizerSeen, ...] = ()
    """As in `Counts`."""
    batches_from: int | None = None
    """As in `Counts`."""
    unseen: tuple[str, ...] = ()
    """As in `Counts`. Never counts as equal."""
    probe_fault: str | None = None
    """As in `Counts`. It is a fault of the harness, not of the training."""
    error: str | None = None
    """Why the run failed, in one line."""
    traceback: str | None = None
    traces: dict[str, TraceFile] = {}

    @property
    def final_metrics(self) -> dict[str, float]:
        """Metrics of the last evaluation; empty if there was none."""
        return self.evaluations[-1].metrics if self.evaluations else {}

    @property
    def in_shares(self) -> bool:
        """Whether each process digested its share of some tensor. The norm of such a tensor comes
        from those of its shares, so it is rounded otherwise than that of a whole tensor."""
        return "shares" in self.traces

    @property
    def collapsed(self) -> bool:
        """Whether the trained model predicts one class for every row, so its metrics are
        meaningless."""
        return any(warning.startswith(COLLAPSE) for warning in self.warnings)
