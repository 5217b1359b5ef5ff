"""What is planted, where, and what the harness is to say of it: step, stage and cause.

Expectations were written down from what each loop does, before it was run. A fault's first
divergence is that of a value: the harness recomputes each loss from the logits, so what a loop
does to its loss later shows in the gradients, and a state before a step shows before its effects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.spec import registry as catalogue
from harness.spec.case import Case
from tests.faults.mutations import path_of
from tests.support.small_runs import small_case

__all__ = ["Fault", "Ground"]


@dataclass(frozen=True)
class Ground:
    """What a fault is planted on: a case, and who trains it right."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    reference: str | None = "plain"
    """None: the loop itself, uninterrupted."""
    world_size: int = 1
    resume_at: int | None = None
    workload: str = "paraphrase"

    def case(self, data: Path) -> Case:
        """The case, on the rows in the folder `data` where it takes sentence pairs."""
        if self.workload == "paraphrase":
            case = small_case(data, **self.settings)
        else:
            case = catalogue.with_settings(catalogue.cases()[self.workload], self.settings)
        return case.model_copy(update={"world_size": self.world_size})


@dataclass(frozen=True)
class Fault:
    """A loop that departs from the reference of its ground, and what is to be found."""

    loop: str
    """A mutation, a file of `sound_loops`, or a loop of the harness."""
    ground: Ground
    step: int
    stage: str
    cause: str | None
    """Its id in the table of causes; None: it is none of those, and none may be named."""
    about: str = ""
    """What is wrong, where the loop's file is not wrong by itself."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that are set when it runs, and not when the reference does."""
    also: tuple[str, ...] = ()
    """Further causes, of a loop with several faults."""

    @property
    def name(self) -> str:
        """No two faults share it."""
        return "-".join([self.loop, self.ground.name, *map(str.lower, self.environment)])

    @property
    def causes(self) -> list[str]:
        """All that are to be named."""
        return [each for each in (self.cause, *self.also) if each is not None]

    @property
    def what(self) -> str:
        """One line that says what is wrong."""
        return self.about or catalogue.loop(path_of(self.loop)).summary
