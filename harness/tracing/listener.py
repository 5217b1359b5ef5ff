"""Who is notified of the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Listener", "StopTraining", "each_of"]

_Any = TypeVar("_Any")


def each_of(listeners: Sequence[_Any]) -> Iterator[_Any]:
    """Each listener once, also one that another adds, and also if another removes itself."""
    notified: list[_Any] = []
    while left := [each for each in listeners if all(each is not one for one in notified)]:
        notified.append(left[0])
        yield left[0]


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
