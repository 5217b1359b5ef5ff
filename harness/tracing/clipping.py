"""Notices a call of torch's `clip_grad_norm_` for parameters that have no gradient.

Such a call has no effect, and leaves no trace in any tensor. This module replaces the function that
`clip_grad_norm_` asks for the norm while somebody listens, by one that calls the original with the
same arguments. A version of torch without that function is left as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch.nn.utils import clip_grad

__all__ = ["listen", "stop_listening"]

_NAME = "_get_total_norm"
_original: Callable[..., Any] | None = getattr(clip_grad, _NAME, None)
_listeners: list[Callable[[], None]] = []


def listen(notice: Callable[[], None]) -> None:
    """Call `notice` for each clipping without gradients."""
    _listeners.append(notice)
    if _original is not None:
        setattr(clip_grad, _NAME, _norm)


def stop_listening(notice: Callable[[], None]) -> None:
    """Call `notice` no more."""
    if notice in _listeners:
        _listeners.remove(notice)
    if not _listeners and getattr(clip_grad, _NAME, None) is _norm:
        setattr(clip_grad, _NAME, _original)


@functools.wraps(_original or (lambda: None))
def _norm(tensors: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(tensors, list) and not tensors:
        for notice in tuple(_listeners):
            notice()
    assert _original is not None  # else this function is not installed
    return _original(tensors, *args, **kwargs)
