"""`CommandSpec`: one training command that was traced from outside, unchanged.

A command has no case and no recipe: nobody stated how it trains. Its record holds what was seen.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.case import Perturbation
from harness.spec.recipe import Detail, Digests, Frozen, Name

__all__ = ["CommandSpec"]


class CommandSpec(Frozen):
    """A command or a block of Python code, and how much of it was recorded."""

    name: Name
    """The name in tables and folders."""
    command: tuple[str, ...] = ()
    """The words of the command; empty if Python code was recorded."""
    folder: str = ""
    """The folder in which it ran."""
    source: Literal["command", "python"] = "command"
    """What was recorded: a command, or Python code inside `harness.trace`."""
    detail: Detail = "full"
    """As in `RunSpec`."""
    every: int = Field(1, ge=1)
    """Gradients, weights and optimizer state are recorded at step 1 and at each multiple of this
    number."""
    digests: Digests | None = None
    """Where tensors are digested, as in `Case`."""
    deterministic: bool = False
    """Whether the deterministic mode of `harness run` was set."""
    localize_at: int | None = Field(None, ge=1)
    """The step at which the record also holds the inputs and outputs of each module and operation.
    The command ends after the next step; None: no step, and the command ends by itself."""
    training: int = Field(1, ge=1)
    """Number of the training in its process. Only this one is localized."""
    stop_after: int | None = Field(None, ge=1)
    """The command ends after this step, and the record is complete; None: it ends by itself."""
    device: str = "cpu"
    """The type of device that held the weights."""
    world_size: int = Field(1, ge=1)
    """Processes that trained one model."""
    model_parallel: int = Field(1, ge=1)
    """Processes that together compute one batch, as in tensor parallelism."""
    sketch: bool = False
    """As in `RunSpec`."""
    perturbation: Perturbation | None = None
    """The perturbation of the weights before the first training pass; None: none."""

    @property
    def last_step(self) -> int | None:
        """The step after which the command ends; None: it ends by itself."""
        return self.stop_after if self.localize_at is None else self.localize_at + 1

    @property
    def case_name(self) -> str:
        """The name in tables."""
        return self.name

    @property
    def run_label(self) -> str:
        """The name of the run within its case. A draw is numbered."""
        return self.name + self.draw_suffix

    @property
    def draw_suffix(self) -> str:
        """What a draw adds to the name of its command, as in `label`; empty for the command."""
        one = self.perturbation
        return "" if one is None else f"-{one.rounding}-{one.draw}"

    @property
    def device_name(self) -> str:
        """The device, such as `cpu` or `cuda`."""
        return self.device

    @property
    def processes(self) -> int:
        """Processes that trained one model, each on batches of its own."""
        return self.world_size // self.model_parallel

    @property
    def observed(self) -> Literal["trace", "timing"]:
        """Whether values or times were recorded: always values."""
        return "trace"
