"""Remembers forward passes of a process that has made no optimizer.

Such a process may train all the same, and update its weights itself; see `ByHand`. That shows only
in its first backward pass, when the forward pass before it is over. Nothing is registered on a
module; the class `nn.Module` is changed until an optimizer is made.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from harness.tracing.attach.quiet import quiet_imports

if TYPE_CHECKING:
    from harness.tracing.forward import ForwardPass

__all__ = ["EarlyPasses"]

_Any = TypeVar("_Any")

_KEPT = 4096


class EarlyPasses:
    """The outermost calls of modules in training mode since the last `take`."""

    def __init__(self) -> None:
        self._passes: deque[ForwardPass] = deque(maxlen=_KEPT)
        self._inside = False
        self._watched: set[int] = set()
        self._thread = threading.get_ident()
        self._call: Any = None
        self._original: Any = None

    def install(self) -> None:
        """Begin to remember."""
        original = self._original = nn.Module.__call__

        @functools.wraps(original)
        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807  # it takes its place
            # A compiler sees a constant here, and leaves the rest out.
            if torch.compiler.is_compiling() or self._inside or not module.training:
                return original(module, *args, **kwargs)
            return self._outermost(module, args, kwargs)

        self._call = __call__
        nn.Module.__call__ = __call__  # type: ignore[method-assign]

    def remove(self) -> None:
        """Remember nothing any more."""
        if self._call is not None and nn.Module.__call__ is self._call:
            nn.Module.__call__ = self._original  # type: ignore[method-assign]
            self._call = None
        self._passes.clear()

    def take(self, parameters: set[int]) -> list[ForwardPass]:
        """The passes so far. From now on those of a module with `parameters` are left out."""
        taken = list(self._passes)
        self._passes.clear()
        self._watched |= parameters
        return taken

    def _outermost(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return self._original(module, *args, **kwargs)
        self._inside = True
        try:
            begun = self._safely(self._begin, module, args, kwargs)
            output = self._original(module, *args, **kwargs)
        finally:
            self._inside = False
        if begun is not None:
            self._safely(self._end, begun, output)
        return output

    def _safely(self, call: Callable[..., _Any], *args: Any) -> _Any | None:
        """A fault of the harness ends the remembering, never the program."""
        try:
            return call(*args)
        except Exception:  # noqa: BLE001  # the record will say that passes were not seen
            self.remove()
            return None

    def _end(self, begun: ForwardPass, output: Any) -> None:
        from harness.tracing.forward import mark_when_reached

        mark_when_reached(begun, output)
        begun.args, begun.kwargs = (), {}
        self._passes.append(begun)

    def _begin(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> ForwardPass | None:
        """The pass that begins, if it may belong to a training that is not watched."""
        first = next(module.parameters(), None)
        if first is None or id(first) in self._watched or self._call is None:
            return None
        if not torch.is_grad_enabled() or torch._C._get_tracing_state() is not None:
            return None
        with quiet_imports():  # not before a process has such a pass
            from harness.tracing.forward import ForwardPass
            from harness.tracing.micro_batches import Batch, facts_of

        one = ForwardPass(module, module, args, kwargs, with_gradient=True)
        batch = Batch(one, None)
        shape: Any = next((value.shape for value in batch.tensors.values()), None)
        seen = {
            "training": True,
            "shape": None if shape is None else list(shape),
            "passes_before": 0,
            "labels": None,
            "targets": None,
        }
        with torch.no_grad():
            one.facts |= facts_of(batch, first.device, seen)
        one.facts.pop("labels")
        return one
