"""What is run: a recipe on a workload and device (`Case`), by one loop (`RunSpec`)."""

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
    """Names the case in tables and folders."""
    workload: str
    """A file of `harness/training/workloads/`."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of that workload, such as `data` and `model`."""
    recipe: Recipe = Recipe()
    """How the model is trained."""
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Recipe fields that single loops are to set otherwise, by the loop's name."""
    resume_at: int | None = Field(None, ge=1)
    """Each loop also trains with its process killed amid the update after so many, goes on from its
    last checkpoint in a new process, and is compared with its uninterrupted run."""
    seed_of: str | None = None
    """The case of which this is one seed among several; None: it stands for itself."""
    arms: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """The first loop also trains once by each of these, by name: recipe fields set otherwise."""
    noise: int | None = Field(None, ge=1)
    """So many draws of the first loop, perturbed by rounding, tell its noise, against which every
    pair that is not identical is judged; None: bit for bit only."""
    note: str = ""
    """Why loops differ on this case, where they are known to, with what was measured."""
    device: Device = "cpu"
    """Where it is trained."""
    digests: Digests | None = None
    """Where digests are taken, and so by which algorithm: copied to the host, or on the device;
    None: where it is trained. Only records with the same ones can be compared."""
    device_of: str | None = None
    """The case of which this is one device among several; None: it stands for itself."""
    libraries: str | None = None
    """The versions of the libraries that it is trained with, where several are compared; None: of
    those that are here."""
    libraries_of: str | None = None
    """The case of which this is one set of libraries among several; None: it stands for itself."""
    world_size: int = Field(1, ge=1)
    """Number of processes that train one model, each on its share of the rows."""


class Perturbation(Frozen):
    """How a run is made to differ from its like by rounding alone."""

    draw: int = Field(ge=1)
    """Seed of what is drawn for it."""
    rounding: Literal["weights", "bf16"] = "weights"
    """`weights`: each initial weight is moved by one unit in the last place; `bf16`: forward and
    backward passes are disturbed as autocast to bf16 rounds them."""


class RunSpec(Frozen):
    """One case trained once by one loop."""

    case: Case
    """What is trained. Its recipe is the one that everyone was asked to follow."""
    loop: str
    """A file of `harness/training/loops/`, or the path of a loop of the user's own."""
    recipe: Recipe
    """What this loop follows: the case's recipe, with the loop's own habits where `native`."""
    conventions: Conventions = "matched"
    """Whether the loop follows the recipe to the letter, or keeps its framework's habits."""
    launcher: Launcher = "torchrun"
    """What starts the processes, where there are several: torchrun, `accelerate launch`, or
    Accelerate's `notebook_launcher`."""
    launcher_config: str | None = None
    """A configuration file for `accelerate launch`; None: as it finds one by itself."""
    nnodes: int = Field(1, ge=1)
    """Machines among which the processes are spread evenly."""
    observe: Literal["trace", "timing"] = "trace"
    """What the probe records. Values and times never come from the same run."""
    detail: Detail = "full"
    """How much a trace holds: of each step the batches, generators, losses and learning rates;
    with `weights` also the gradients and the weights; with `full` the optimizer's state too."""
    repeat: int = Field(1, ge=1)
    """Counts runs of the same loop on the same case."""
    resume_at: int | None = Field(None, ge=1)
    """The process is killed amid the update after so many, and another one goes on from the last
    checkpoint; None: the run is not interrupted."""
    stop_after: int | None = Field(None, ge=1)
    """The run ends after so many steps of its schedule, unevaluated: a replay of its beginning."""
    start_from: str | None = None
    """Folder of another run's checkpoints, from whose newest whole one this run goes on: a run of
    the same loop, whose recipe may differ in what had not mattered until then. None: it starts at
    its beginning."""
    localize_at: int | None = Field(
        None, ge=1, validation_alias=AliasChoices("localize_at", "dig_at")
    )
    """The step at which the record also holds the inputs and outputs of each module; None: no step.
    Records made before 0.2.0 call it `dig_at`."""
    arm: str | None = None
    """Which of the case's arms it follows; None: the case's own recipe."""
    sketch: bool = False
    """Whether the record also holds a sketch of each parameter at each step, from which the size
    of differences is told."""
    perturbation: Perturbation | None = None
    """What is done to the model before training; None: nothing."""

    @property
    def processes_per_node(self) -> int:
        """How many of its processes one machine starts."""
        return self.case.world_size // self.nnodes


def label(spec: RunSpec) -> str:
    """What a run is called within its case: the loop, and a number from the second repeat on.

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
