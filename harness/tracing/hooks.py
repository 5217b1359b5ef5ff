"""The base of every probe: it registers hooks on a model and its optimizer, inside wrappers."""

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

__all__ = ["HookedProbe", "Listener", "StopTraining", "unwrapped_optimizer"]


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


class HookedProbe:
    """Registers hooks on a model and its optimizer; subclasses define what the hooks do."""

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        workload: Workload,
        counts: Counts | None = None,
    ) -> None:
        """`counts`: the counts of the run that is resumed; None for a new run."""
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
        """See `Probe.watch`. Wrappers around the model or the optimizer are removed first."""
        if self._handles:
            raise RuntimeError("a probe records one training run: create a new probe for another")
        self._rates = rates
        inner = _unwrapped_model(model)
        # Hooks on the inner module of a compiled model would be compiled; on the outer one not.
        compiled = _compiled(model)
        called = inner if compiled is None else compiled
        trained = [p for p in inner.parameters() if p.requires_grad]
        self.counts.parameters = sum(p.numel() for p in trained)
        self._attach(inner, called, unwrapped_optimizer(optimizer))
        self._handles.append(
            unwrapped_optimizer(optimizer).register_step_pre_hook(self._notify_before_step)
        )

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`. Loss metrics are separate, since not every loop reports them."""
        loss_names = {"loss", *self._workload.loss_metrics}
        evaluation = Evaluation(
            step=self.counts.steps,
            rows=scores.rows,
            metrics={k: v for k, v in scores.metrics.items() if k not in loss_names},
            loss_metrics={k: v for k, v in scores.metrics.items() if k in loss_names},
        )
        self.counts.evaluations.append(evaluation)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. A remedy that is recorded already, before a resume, is skipped."""
        if what not in self.counts.remedies:
            self.counts.remedies.append(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        self._listener.saved(checkpoint)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored here; a probe that records values overrides it."""

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Register the hooks. `called` is `model` itself or its compiled form."""
        raise NotImplementedError

    def _notify_before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._listener.before_step(self.counts.steps + 1)


def _unwrapped_model(model: nn.Module) -> nn.Module:
    """The module inside `DistributedDataParallel` and `torch.compile`."""
    if isinstance(model, DistributedDataParallel):
        return _unwrapped_model(model.module)
    inner = getattr(model, "_orig_mod", None)
    return _unwrapped_model(inner) if isinstance(inner, nn.Module) else model


def _compiled(model: nn.Module) -> nn.Module | None:
    """The compiled module, if `model` or the module that it wraps is one."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        return model
    return _compiled(model.module) if isinstance(model, DistributedDataParallel) else None


def unwrapped_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside Accelerate's wrapper; the wrapper's `step` calls it."""
    inner = getattr(optimizer, "optimizer", None)
    return unwrapped_optimizer(inner) if isinstance(inner, torch.optim.Optimizer) else optimizer
