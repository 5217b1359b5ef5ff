"""Notices each optimizer step of the process, through the global hooks of torch's optimizers.

A listener may be added while a step begins: it is notified of that step too, after those before it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from harness.tracing.listener import each_of

__all__ = ["StepListener", "is_running", "listen", "release", "running", "stop_listening"]

_STEP = Optimizer.profile_hook_step(lambda: None).__code__
"""The code with which torch surrounds each `step`."""

_listeners: list[StepListener] = []
_handles: list[Any] = []


class StepListener(Protocol):
    """Is called before and after each step of any optimizer."""

    def step_begins(self, optimizer: Optimizer) -> None:
        """The optimizer is about to step."""

    def step_ends(self, optimizer: Optimizer) -> None:
        """The optimizer has stepped; it is not called for a step that failed."""


def listen(listener: StepListener) -> None:
    """Report steps to `listener`."""
    _listeners.append(listener)
    if not _handles:
        _handles.append(register_optimizer_step_pre_hook(_before))
        _handles.append(register_optimizer_step_post_hook(_after))


def stop_listening(listener: StepListener) -> None:
    """Report no more steps to `listener`."""
    # Not `remove` of the handles: torch may be going through its hooks.
    if listener in _listeners:
        _listeners.remove(listener)


def release() -> None:
    """Remove the hooks from torch if nobody listens. Not to be called while an optimizer steps."""
    if not _listeners:
        for handle in _handles:
            handle.remove()
        _handles.clear()


def running() -> int:
    """The identity of the innermost call of a `step` that is running; 0: there is none."""
    return next((id(frame) for frame in _step_frames()), 0)


def is_running(call: int) -> bool:
    """Whether the `step` with this identity is running around the innermost one.

    A step that failed is not; no hook tells of its end.
    """
    frames = _step_frames()
    next(frames, None)  # its place in memory may be that of a call that has ended
    return any(id(frame) == call for frame in frames)


def _step_frames() -> Iterator[FrameType]:
    """The running calls of `step`, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _STEP:
            yield frame
        frame = frame.f_back


def _before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for listener in each_of(_listeners):
        listener.step_begins(optimizer)


def _after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for listener in _listeners:
        listener.step_ends(optimizer)
