"""How much a trace probe records."""

from __future__ import annotations

from dataclasses import dataclass

from harness.spec.recipe import Detail

__all__ = ["TraceOptions"]


@dataclass(frozen=True)
class TraceOptions:
    """How much a trace probe records of each step."""

    detail: Detail = "full"
    """As in `RunSpec`."""
    every: int = 1
    """Gradients, weights and optimizer state are read at step 1 and at each multiple of this
    number."""
    sketch: bool = False
    """Whether each parameter is sketched at each step."""
    localize_at: int | None = None
    """The step at which the inputs and outputs of each module are recorded; None: no step."""

    def reads_tensors(self, step: int) -> bool:
        """Whether gradients, weights and optimizer state are read at a step; 0 is the start."""
        return self.detail != "steps" and (step < 2 or step % self.every == 0)
