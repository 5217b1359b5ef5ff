"""What the callbacks share: a trace of their own in a folder, or the probe of a loop."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

from torch import nn

from harness.api.trace import Scores, Tracing, trace
from harness.errors import SpecError
from harness.spec.recipe import Detail

if TYPE_CHECKING:
    from harness.training.probe import Probe

__all__ = ["Target", "TracedTraining", "called_form", "rows_of"]

Target = Union[str, os.PathLike[str], "Probe", None]
"""A folder for a record; None: a new one in `reports/`. In a loop: its probe."""

_CUT_OFF = "the training ended without notice: it raised an error, or its process ended"


class TracedTraining:
    """Reports one training at a time to a probe, or records it in a folder."""

    def __init__(
        self, target: Target, name: str | None, detail: Detail, every: int, replace: bool
    ) -> None:
        self._options: dict[str, Any] = {
            "name": name,
            "detail": detail,
            "every": every,
            "replace": replace,
        }
        self._probe: Any = None
        self._folder: Any = None
        if hasattr(target, "watch"):
            self._probe = target
        else:
            self._folder = target
        self.tracing: Tracing | None = None
        """The trace of the current or last training; None for a probe."""

    def begin(self, model: nn.Module, *optimizers: Any) -> None:
        """The training begins; its optimizers exist."""
        if self._probe is not None:
            self._probe.watch(called_form(model), *optimizers)
            return
        self.tracing = trace(self._folder, **self._options)
        self.tracing.begin(gives_way=True)
        atexit.register(self.cut_off)

    def evaluated(self, metrics: Mapping[str, Any], rows: int) -> None:
        """An evaluation is complete. One without a metric or of an unknown size is left out."""
        values = {name: float(value) for name, value in metrics.items()}
        if not values or not rows:
            return
        if self._probe is not None:
            self._probe.evaluated(Scores(rows, values))
        elif self.tracing is not None and self.tracing.is_open:
            self.tracing.evaluated(values, rows)

    def end(self, error: BaseException | None = None) -> None:
        """The training has ended."""
        atexit.unregister(self.cut_off)
        if self.tracing is not None:
            self.tracing.end(error)

    def cut_off(self) -> None:
        """The process ends, and the training has not."""
        self.end(SpecError(_CUT_OFF))


def rows_of(loader: Any) -> int:
    """Number of rows that a loader reads; 0 if it is not known."""
    dataset: Any = getattr(loader, "dataset", None)
    return len(dataset) if hasattr(dataset, "__len__") else 0


def called_form(model: nn.Module) -> nn.Module:
    """The compiled form of a model, if there is one: no hook may be compiled."""
    for value in gc.get_objects():
        # `issubclass` of the type, since `isinstance` asks objects for `__class__`.
        if issubclass(type(value), nn.Module) and getattr(value, "_orig_mod", None) is model:
            compiled: nn.Module = value
            return compiled
    return model
