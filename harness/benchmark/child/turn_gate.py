"""The turn gate: a probe that lets a loop take a number of steps and then wait.

Since it is a probe, any loop can be timed unchanged. It acts in the optimizer's hook after each
update. Between two turns the loop waits there on the parent's pipe and uses no CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.execution.child.turns import Turns
from harness.tracing.listener import StopTraining
from harness.tracing.wrappers import unwrapped_optimizer
from harness.training.evaluation import Scores
from harness.training.probe import Probe

__all__ = ["CombinedProbe", "Meter", "TurnGate"]


class Meter(Protocol):
    """A quantity that is measured over the steps of a turn."""

    def begin(self) -> None:
        """Begin the measurement."""

    def read(self, steps: int) -> dict[str, Any]:
        """The result over `steps` steps, as JSON values."""


class TurnGate:
    """A probe that takes turns.

    It sends its parent `ready` when the loop is about to begin, and after each turn the times of
    all its steps but the first, which includes waking up.
    """

    def __init__(
        self,
        connection: Connection,
        device: torch.device,
        meter: Meter | None = None,
        yardstick: Callable[[], float] | None = None,
    ) -> None:
        """`yardstick`: as for `Turns`."""
        self._turns = Turns(connection, device, self._begin, self._counted, yardstick)
        self._meter = meter
        self._handles: list[Any] = []

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Returns once the first turn is granted."""
        self._handles = [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            unwrapped_optimizer(optimizers[0]).register_step_post_hook(self._after_step),
        ]
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self._go_on(self._turns.ready(parameters=trained))

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored."""

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`. Ignored."""

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. Ignored; the traced run of this arm records it."""

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`. Ignored."""

    def _go_on(self, granted: bool) -> None:
        """Raise `StopTraining` if no further turn is granted."""
        if not granted:
            for handle in self._handles:
                handle.remove()
            raise StopTraining

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        batch = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        self._samples += len(batch)
        if ids is not None:
            self._padded_tokens += ids.numel()
            self._tokens = self._tokens + (ids.numel() if mask is None else mask.sum())

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._go_on(self._turns.step_made())

    # Counted from the second step of a turn on; the counts of the first step are dropped.
    _samples = _padded_tokens = 0
    _tokens: int | Tensor = 0

    def _begin(self) -> None:
        self._samples, self._padded_tokens, self._tokens = 0, 0, 0
        if self._meter:
            self._meter.begin()

    def _counted(self, steps: int) -> dict[str, Any]:
        return {
            "samples": self._samples,
            "tokens": int(self._tokens),
            "padded_tokens": self._padded_tokens,
            "meter": self._meter.read(steps) if self._meter and steps else {},
        }


class CombinedProbe:
    """Several probes as one. Each receives every call, in order; a turn gate comes last."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`."""
        for probe in self._probes:
            probe.watch(model, *optimizers, rates=rates)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        for probe in self._probes:
            probe.logged(loss)

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`."""
        for probe in self._probes:
            probe.evaluated(scores)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`."""
        for probe in self._probes:
            probe.remedied(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        for probe in self._probes:
            probe.saved(checkpoint)
