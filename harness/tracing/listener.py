"""Who is notified of the steps of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["Listener", "StopTraining"]


class StopTraining(BaseException):
    """No more steps are needed. It is no `Exception`, so a loop does not handle it as an error."""


class Listener:
    """Is notified of each step and each checkpoint; the base class does nothing."""

    def before_step(self, step: int) -> None:
        """The gradients of update `step`, counted from 1, are complete; the update comes next."""

    def after_step(self, step: int) -> None:
        """Update `step` is complete and recorded."""

    def settled(self, settings: dict[str, Any]) -> None:
        """The first step is about to begin with these settings; see `live_settings`."""

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
