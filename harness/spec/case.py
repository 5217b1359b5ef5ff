"""`Case`: a recipe on a workload and a device. `RunSpec`: one training of a case by one loop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field

from harness.spec.recipe import (
    Conventions,
    Detail,
    Device,
    Digests,
    Frozen,
    Launcher,
    Name,
    Option,
    Recipe,
)

__all__ = ["LEAST_DRAWS", "Case", "Perturbation", "RunSpec", "label", "slug"]

LEAST_DRAWS = 4
"""Perturbed runs from which a noise band can be measured: fewer hardly show the spread."""


class Case(Frozen):
    """A recipe applied to a workload on a device."""

    name: Name
    """The name in tables and folders."""
    workload: str
    """A workload of the harness, or the path of a task; in a case file, from the file's folder."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of that workload, such as `data` and `model`."""
    recipe: Recipe = Recipe()
    """How the model is trained."""
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Recipe fields that are changed for single loops, by the name of the loop."""
    resume_at: int | None = Field(None, ge=1)
    """Each loop also runs with its process killed during the update after this step. A new process
    resumes from the last checkpoint, and is compared with the uninterrupted run."""
    seed_of: str | None = None
    """The case of which this is one of several seeds; None: it is no variant."""
    arms: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """By name: recipe fields that are changed. The first loop also trains once with each arm."""
    noise: int | None = Field(None, ge=1)
    """Runs of the first loop that are perturbed by rounding. They measure the noise band with which
    every pair that is not identical is compared; None: pairs are compared only bit for bit."""
    note: str = ""
    """Why loops are known to differ on this case, with what was measured; empty: they are not."""
    device: Device = "cpu"
    """The device on which it is trained."""
    digests: Digests | None = None
    """Where tensors are digested, which decides the algorithm; None: where they are trained. Only
    records with the same digests can be compared."""
    device_of: str | None = None
    """The case of which this is one of several devices; None: it is no variant."""
    libraries: str | None = None
    """The name of its set of libraries, if several are compared; None: the current libraries."""
    libraries_of: str | None = None
    """The case of which this is one of several sets of libraries; None: it is no variant."""
    world_size: int = Field(1, ge=1)
    """Processes that train one model, each on its share of the rows."""


class Perturbation(Frozen):
    """How a run is made to differ from another by rounding alone."""

    draw: int = Field(ge=1)
    """Seed of the perturbation."""
    rounding: Literal["weights", "bf16"] = "weights"
    """`weights`: each initial weight is moved by one unit in the last place. `bf16`: forward and
    backward passes are perturbed by as much as autocast to bf16 rounds them."""


class RunSpec(Frozen):
    """One case trained once by one loop."""

    case: Case
    """What is trained. Its recipe is the one that all loops are given."""
    loop: str
    """A file of `harness/training/loops/`, or the path of a loop of the user's own."""
    recipe: Recipe
    """The recipe of this loop: that of the case, with the habits of its framework if `native`."""
    conventions: Conventions = "matched"
    """Whether the loop follows the case's recipe, or keeps the habits of its framework."""
    launcher: Launcher = "torchrun"
    """What starts several processes: torchrun, `accelerate launch`, or Accelerate's
    `notebook_launcher`."""
    launcher_config: str | None = None
    """A configuration file for `accelerate launch`; None: its own default."""
    nnodes: int = Field(1, ge=1)
    """Machines among which the processes are spread evenly."""
    observe: Literal["trace", "timing"] = "trace"
    """What the probe records. Values and times never come from the same run."""
    detail: Detail = "full"
    """How much a trace records of each step: batches, random generators, losses and learning rates;
    with `weights` also gradients and weights; with `full` also the optimizer state."""
    repeat: int = Field(1, ge=1)
    """Counts runs of the same loop on the same case."""
    resume_at: int | None = Field(None, ge=1)
    """The process is killed during the update after this step, and a new one resumes from the last
    checkpoint; None: the run is not interrupted."""
    stop_after: int | None = Field(None, ge=1)
    """The run ends after this step, without an evaluation: a replay of its beginning."""
    start_from: str | None = None
    """Folder with the checkpoints of another run of the same loop. This run continues from the
    newest complete one. The recipes may differ in what has no effect up to that step. None: the run
    starts at its beginning."""
    localize_at: int | None = Field(
        None, ge=1, validation_alias=AliasChoices("localize_at", "dig_at")
    )
    """The step at which the record also holds the inputs and outputs of each module; None: no step.
    Records made before 0.2.0 call it `dig_at`."""
    arm: str | None = None
    """The arm of the case whose changes it follows; None: none."""
    sketch: bool = False
    """Whether the record also holds a sketch of each parameter at each step. Sketches give the size
    of a difference."""
    perturbation: Perturbation | None = None
    """The perturbation of the model before training; None: none."""

    @property
    def case_name(self) -> str:
        """The name of its case."""
        return self.case.name

    @property
    def run_label(self) -> str:
        """The name of the run within its case; see `label`."""
        return label(self)

    @property
    def device_name(self) -> str:
        """The device, such as `cpu` or `cuda`."""
        return self.case.device

    @property
    def processes(self) -> int:
        """Processes that train one model, each on batches of its own."""
        return self.case.world_size

    @property
    def world_size(self) -> int:
        """Processes that train one model."""
        return self.case.world_size

    @property
    def observed(self) -> Literal["trace", "timing"]:
        """Whether values or times were recorded."""
        return self.observe

    @property
    def processes_per_node(self) -> int:
        """Processes that one machine starts."""
        return self.case.world_size // self.nnodes


def label(spec: RunSpec) -> str:
    """The name of a run within its case: its loop, and a number from the second repeat on.

    An arm has its own name. A draw is numbered. A localized run is named with its step.
    """
    if spec.perturbation is not None:
        return f"{Path(spec.loop).stem}-{spec.perturbation.rounding}-{spec.perturbation.draw}"
    name = spec.arm or Path(spec.loop).stem
    if spec.resume_at is not None:
        name += "-resumed"
    if spec.localize_at is not None:
        name += f"-localized-{spec.localize_at}"
    return name if spec.repeat == 1 else f"{name}-{spec.repeat}"


def slug(text: str) -> str:
    """`text` as part of the name of a case or of a file."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
