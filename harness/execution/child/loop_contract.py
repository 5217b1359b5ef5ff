"""Whether a loop keeps its contract: it watches what it trains, and returns that.

`WatchedCalls` stands between a loop and its probe. It passes every call on, and remembers which
models were watched. A flag that a library changed while it compiled is set back, if asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import LoopError
from harness.execution.child.user_code import caller, line_of
from harness.spec.case import RunSpec
from harness.training.evaluation import Scores
from harness.training.probe import Probe

__all__ = ["WatchedCalls", "call_loop", "keeps_tf32"]

_WATCH = "probe.watch(model, optimizer)"


class WatchedCalls:
    """A probe that checks what a loop passes to `watch` before the probe behind it gets it."""

    def __init__(self, probe: Probe, keeps_tf32: bool = False) -> None:
        """`keeps_tf32`: matrix products keep their precision of now; see `keeps_tf32`."""
        self._probe = probe
        self._tf32 = torch.backends.cuda.matmul.allow_tf32 if keeps_tf32 else None
        self.models: list[nn.Module] = []
        """The models that were watched."""

    def watch(
        self,
        model: nn.Module,
        *optimizers: Any,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Raises `LoopError` for a model or an optimizer that is none."""
        if optimizers and rates is None and _are_rates(optimizers[-1]):
            *rest, rates = optimizers  # as the third argument
            optimizers = tuple(rest)
        if not isinstance(model, nn.Module):
            raise _fault("probe.watch takes the model first", _met(model), f"call {_WATCH}")
        if not optimizers:
            raise _fault("probe.watch takes the model and its optimizer", "no optimizer", _WATCH)
        for optimizer in optimizers:
            if optimizer is None:
                raise _fault(
                    "probe.watch takes an optimizer that exists",
                    "None",
                    "call it after the optimizer is made; with a Trainer, which makes it late, "
                    "call it in on_train_begin, or add the ready callback harness.TrainerCallback",
                )
            if not _is_optimizer(optimizer):
                raise _fault(
                    "probe.watch takes optimizers of torch", _met(optimizer), f"call {_WATCH}"
                )
        self.models.append(model)
        self._set_tf32_back()
        watch: Any = self._probe.watch  # of one optimizer, or of several
        watch(model, *optimizers, rates=rates)

    def _set_tf32_back(self) -> None:
        matmul = torch.backends.cuda.matmul
        if self._tf32 is not None and matmul.allow_tf32 != self._tf32:
            matmul.allow_tf32 = self._tf32
            self._probe.remedied(
                f"torch.backends.cuda.matmul.allow_tf32 = {self._tf32} after the model is "
                "prepared: Accelerate, and so the Trainer, changes it where it compiles for CUDA"
            )

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        self._probe.logged(loss)

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`."""
        self._probe.evaluated(scores)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`."""
        self._probe.remedied(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        self._probe.saved(checkpoint)


def keeps_tf32(spec: RunSpec) -> bool:
    """Whether a run keeps its precision of matrix products: in matched conventions, where a library
    would change it because it compiles."""
    return spec.conventions == "matched" and spec.recipe.compile is not None


def call_loop(
    train: Callable[..., Any],
    workload: Any,
    recipe: Any,
    probe: Probe,
    keeps_tf32: bool = False,
) -> nn.Module:
    """Train by a loop and return its model. Raises `LoopError` if the loop breaks its contract."""
    calls = WatchedCalls(probe, keeps_tf32)
    model = train(workload, recipe, calls)
    where = line_of(train)
    if not calls.models:
        raise _fault(
            "a loop reports its model and its optimizer to the probe",
            "no call of probe.watch",
            f"call {_WATCH} after the optimizer is made and before the first step",
            where,
        )
    if not isinstance(model, nn.Module):
        raise _fault("train returns the trained model", _met(model), "add `return model`", where)
    if not any(_is_same(model, watched) for watched in calls.models):
        raise _fault(
            "train returns the model that it reported to probe.watch, or a module inside it",
            f"another {type(model).__name__}",
            "return the watched model, or watch the one that is returned",
            where,
        )
    return model


def _is_same(model: nn.Module, watched: nn.Module) -> bool:
    """Whether one of the two modules is the other or inside it, or both hold the same parameters.

    A library may wrap a model or build its module anew around the same parameters.
    """
    if model in watched.modules() or watched in model.modules():
        return True
    ours, theirs = set(model.parameters()), set(watched.parameters())
    return bool(ours) and (ours <= theirs or theirs <= ours)


def _is_optimizer(value: Any) -> bool:
    """Whether it is an optimizer of torch, or has the methods of one."""
    return isinstance(value, torch.optim.Optimizer) or (
        hasattr(value, "param_groups") and callable(getattr(value, "step", None))
    )


def _are_rates(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) for v in value)


def _met(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _fault(rule: str, met: str, remedy: str, where: str = "") -> LoopError:
    where = where or caller()
    return LoopError(rule, f"{met} at {where}" if where else met, remedy)
