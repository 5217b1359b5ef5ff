"""Has a recording watch the modules that optimizers train, and notes what was not seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer

from harness.tracing.attach.files import NO_MODULE
from harness.tracing.attach.modules import targets
from harness.tracing.attach.notice import Event

if TYPE_CHECKING:
    from harness.tracing.attach.recording import Recording

__all__ = ["watch_found"]

_PASSES_BEFORE = (
    "The passes before the first step were not seen: only the step showed the optimizer."
)


def watch_found(
    recording: Recording, optimizers: Sequence[Optimizer], called: nn.Module | None, event: Event
) -> None:
    """Watch what `optimizers` train. `called` and `event`: how they were noticed; see `Notice`."""
    for target in targets(optimizers, called):
        if event == "step":
            recording.unseen(_PASSES_BEFORE)
        recording.watch(target.watched, target.optimizers)
    if recording.probe.is_mixed:
        recording.unseen(NO_MODULE)
