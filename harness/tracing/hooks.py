"""What a loop knows of its observer, and how an observer gets to a model and its optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from harness.results.record import Counts, Evaluation, RecordWriter
from harness.training.evaluation import Scores
from harness.training.workload import Workload

__all__ = ["Enough", "HookedProbe", "Listener", "unwrapped_optimizer"]


class Enough(BaseException):
    """No more steps are wanted. No error, so that no loop handles it as one."""


class Listener:
    """Hears of each step and of each checkpoint; by itself it does nothing."""

    def before_step(self, step: int) -> None:
        """The gradients of update `step`, counted from 1, are there, and it is about to be made."""

    def after_step(self, step: int) -> None:
        """Update `step` is made and recorded."""

    def settled(self, settings: dict[str, Any]) -> None:
        """The first step is about to begin with these settings; see `live_settings.py`."""

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""


class HookedProbe:
    """Registers hooks on a model and its optimizer; subclasses say what the hooks do."""

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        workload: Workload,
        counts: Counts | None = None,
    ) -> None:
        """`counts`: goes on from there, for a run that is resumed; None: from nothing."""
        self.counts = Counts() if counts is None else counts
        self._workload = workload
        self._writer = writer
        self._listener = listener
        self._handles: list[Any] = []

    def watch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Wrappers around either are looked through."""
        if self._handles:
            raise RuntimeError("a probe watches one training; make a new one for another")
        self._rates = rates
        inner = _unwrapped_model(model)
        # Hooks on a compiled model's inside would be compiled along; on its outside they are not.
        compiled = _compiled(model)
        called = inner if compiled is None else compiled
        trained = [p for p in inner.parameters() if p.requires_grad]
        self.counts.parameters = sum(p.numel() for p in trained)
        self._attach(inner, called, unwrapped_optimizer(optimizer))
        self._handles.append(
            unwrapped_optimizer(optimizer).register_step_pre_hook(self._tell_before_step)
        )

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`. Not every loop tells the loss, so it is kept apart."""
        of_loss = {"loss", *self._workload.loss_metrics}
        found = Evaluation(
            step=self.counts.steps,
            rows=scores.rows,
            metrics={k: v for k, v in scores.metrics.items() if k not in of_loss},
            loss_metrics={k: v for k, v in scores.metrics.items() if k in of_loss},
        )
        self.counts.evaluations.append(found)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. What was said once, before a resume, is not said again."""
        if what not in self.counts.remedies:
            self.counts.remedies.append(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        self._listener.saved(checkpoint)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored, unless values are recorded."""

    def close(self) -> None:
        """Take the hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """`model` holds the parameters; `called` is it, or what it was compiled to."""
        raise NotImplementedError

    def _tell_before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._listener.before_step(self.counts.steps + 1)


def _unwrapped_model(model: nn.Module) -> nn.Module:
    """The module inside `DistributedDataParallel` and `torch.compile`."""
    if isinstance(model, DistributedDataParallel):
        return _unwrapped_model(model.module)
    inner = getattr(model, "_orig_mod", None)
    return _unwrapped_model(inner) if isinstance(inner, nn.Module) else model


def _compiled(model: nn.Module) -> nn.Module | None:
    """The compiled module among `model` and what it wraps."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        return model
    return _compiled(model.module) if isinstance(model, DistributedDataParallel) else None


def unwrapped_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside Accelerate's wrapper, whose own `step` calls it."""
    inner = getattr(optimizer, "optimizer", None)
    return unwrapped_optimizer(inner) if isinstance(inner, torch.optim.Optimizer) else optimizer
