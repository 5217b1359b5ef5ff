"""Notices each outermost backward pass, with the tensors from which it starts.

`Tensor.backward` calls `torch.autograd.backward`. This module replaces that function while somebody
listens, by one that calls the original with the same arguments. Backward passes inside a backward
pass, as activation checkpointing makes them, are not reported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.tracing.listener import each_of

__all__ = [
    "BackwardListener",
    "at_the_end_of_backward",
    "at_the_very_end_of_backward",
    "in_backward",
    "listen",
    "stop_listening",
]

_original = torch.autograd.backward
_listeners: list[BackwardListener] = []


class BackwardListener(Protocol):
    """Is called before and after each outermost backward pass."""

    def backward_begins(self, roots: Sequence[Tensor]) -> None:
        """A backward pass starts from `roots`."""

    def backward_ends(self) -> None:
        """The backward pass is complete; it is not called for a pass that failed."""


def listen(listener: BackwardListener) -> None:
    """Report backward passes to `listener`."""
    _listeners.append(listener)
    torch.autograd.backward = _backward


def stop_listening(listener: BackwardListener) -> None:
    """Report no more backward passes to `listener`."""
    if listener in _listeners:
        _listeners.remove(listener)
    if not _listeners and torch.autograd.backward is _backward:
        torch.autograd.backward = _original


def in_backward() -> bool:
    """Whether autograd is in a backward pass, where activation checkpointing repeats forwards."""
    return torch._C._current_graph_task_id() != -1


@functools.wraps(_original)
def _backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
    if in_backward():
        return _original(tensors, *args, **kwargs)
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for listener in each_of(_listeners):
        listener.backward_begins(roots)
    _original(tensors, *args, **kwargs)
    for listener in _listeners:
        listener.backward_ends()
    return None


def at_the_end_of_backward(action: Callable[[], None]) -> None:
    """Have autograd call `action` at the end of the current backward pass."""
    torch.autograd.Variable._execution_engine.queue_callback(action)


def at_the_very_end_of_backward(action: Callable[[], None]) -> None:
    """Have autograd call `action` after every other callback of the current backward pass.

    `DistributedDataParallel` waits for the reduced gradients in a callback that it queues during
    the backward pass. A callback that another callback queues runs after all of those.
    """
    at_the_end_of_backward(lambda: at_the_end_of_backward(action))
