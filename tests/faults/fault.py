"""A planted fault: its loop, its ground, and the step, stage and cause that must be found.

Expectations were derived from what each loop does, before it was run. The first divergence is that
of a recorded value. The loss on which `backward` is called is recorded, so a change of the loss
after the forward pass shows there, while the workload's own loss, recomputed from the logits,
agrees. A state before a step shows before its effects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.spec import registry
from harness.spec.case import Case
from tests.faults.mutations import path_of
from tests.support.small_runs import small_case

__all__ = ["Fault", "Ground"]


@dataclass(frozen=True)
class Ground:
    """Where a fault is planted: a case, and the loop that trains it correctly."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    reference: str | None = "plain"
    """None: the loop itself, not interrupted."""
    world_size: int = 1
    resume_at: int | None = None
    workload: str = "paraphrase"

    def case(self, data: Path) -> Case:
        """The case; a case of sentence pairs reads its rows from the folder `data`."""
        if self.workload == "paraphrase":
            case = small_case(data, **self.settings)
        else:
            case = registry.with_settings(registry.cases()[self.workload], self.settings)
        return case.model_copy(update={"world_size": self.world_size})


@dataclass(frozen=True)
class Fault:
    """A loop that differs from the reference of its ground, and what must be found."""

    loop: str
    """A mutation, a file of `sound_loops`, or a loop of the harness."""
    ground: Ground
    step: int
    stage: str
    cause: str | None
    """Its id in the table of causes. None: the table has no such cause, and none may be named."""
    about: str = ""
    """What is wrong, if the loop alone does not say it."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables of its run; the reference runs without them."""
    also: tuple[str, ...] = ()
    """Further causes, if the loop has several faults."""

    @property
    def name(self) -> str:
        """The unique name of the fault."""
        return "-".join([self.loop, self.ground.name, *map(str.lower, self.environment)])

    @property
    def causes(self) -> list[str]:
        """The ids of all causes that must be named."""
        return [each for each in (self.cause, *self.also) if each is not None]

    @property
    def what(self) -> str:
        """One line that describes the fault."""
        return self.about or registry.loop(path_of(self.loop)).summary
