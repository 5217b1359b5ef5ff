"""Notices the forward passes of watched models: the outermost calls of their modules.

A script may call a model, or only modules inside it. So every module is hooked until a backward
pass shows which of them are called from outside; after that only these keep their hooks. Nothing
inside a compiled module is hooked, since the hooks would be compiled too. Forward passes that are
repeated in a backward pass are not reported.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.tracing.backward import in_backward
from harness.tracing.copies import hide_hooks, stop_hiding
from harness.tracing.module_hooks import visible_modules
from harness.tracing.module_values import leaves

__all__ = ["ForwardListener", "ForwardPass", "ForwardWatch", "mark_when_reached"]


@dataclass
class ForwardPass:
    """One outermost call of a module, and what a probe keeps of it."""

    model: nn.Module
    """The watched model to which the module belongs."""
    module: nn.Module
    """The called module: the model itself, its compiled form, or a module inside it."""
    args: Any
    """Positional arguments, during the call only."""
    kwargs: Mapping[str, Any]
    """Keyword arguments, during the call only."""
    with_gradient: bool
    """Whether autograd records the pass."""
    reached: bool = False
    """Whether the current or last backward pass went back through it."""
    micro_batch: int | None = None
    """The micro-batch of the current update to which it belongs; None: to none."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the probe keeps of it."""

    def arguments(self) -> dict[str, Any]:
        """The arguments by the parameter names of the model's `forward`."""
        module = self.model if hasattr(self.module, "_orig_mod") else self.module
        names = [
            name
            for name, each in inspect.signature(module.forward).parameters.items()
            if each.kind is each.POSITIONAL_OR_KEYWORD
        ]
        names += [str(number) for number in range(len(names), len(self.args))]
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}


class ForwardListener(Protocol):
    """Is called before and after each outermost forward pass of a watched model."""

    def pass_begins(self, one: ForwardPass) -> None:
        """The pass begins; its arguments can be read."""

    def pass_ends(self, one: ForwardPass, output: Any) -> None:
        """The pass is complete; it is not called for a pass that failed."""


@dataclass
class _Model:
    """A watched model, its hooked modules and their handles."""

    model: nn.Module
    handles: dict[nn.Module, list[Any]] = field(default_factory=dict)
    called: set[nn.Module] = field(default_factory=set)


class ForwardWatch:
    """Hooks the modules of several models."""

    def __init__(self, listener: ForwardListener, safely: Callable[..., None]) -> None:
        """`safely`: calls a function with arguments; an error of this module never leaves it."""
        self._listener, self._safely = listener, safely
        self._models: list[_Model] = []
        self._open: list[tuple[nn.Module, ForwardPass | None]] = []
        self._thread = threading.get_ident()

    def add(self, model: nn.Module, called: nn.Module) -> None:
        """Watch `model`; `called` is the model itself or its compiled form."""
        one = _Model(model)
        self._models.append(one)
        if len(self._models) == 1:
            hide_hooks(self)
        modules = [called] if called is not model else visible_modules(model)
        for module in modules:
            self._hook(one, module)

    def hooks_inside(self, model: nn.Module) -> bool:
        """Whether a model may be hooked, since it is not called in a compiled form."""
        return any(model in one.handles for one in self._models)

    def narrow(self) -> None:
        """Keep only the hooks of modules that were called from outside."""
        for one in self._models:
            if one.called and len(one.handles) > len(one.called):
                for module in [each for each in one.handles if each not in one.called]:
                    for handle in one.handles.pop(module):
                        handle.remove()

    def remove(self) -> None:
        """Remove all hooks."""
        stop_hiding(self)
        for one in self._models:
            for handles in one.handles.values():
                for handle in handles:
                    handle.remove()
        self._models = []

    def reset(self) -> None:
        """No pass is open: called where no module of the models can be running."""
        self._open = []

    def _hook(self, one: _Model, module: nn.Module) -> None:
        # A script may compile what calls the module. The compiler sees a constant, and leaves the
        # rest of the hook out.
        def enter(module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
            if not torch.compiler.is_compiling():
                self._safely(self._enter, one, module, args, kwargs)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not torch.compiler.is_compiling():
                self._safely(self._leave, module, output)

        if getattr(module, "_compiled_call_impl", None) is not None:
            one.handles[module] = [_CompiledCall(module, enter, leave)]
            return
        # `always_call`: a call that fails must end too, or its pass would stay open.
        one.handles[module] = [
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, always_call=True),
        ]

    def _enter(self, one: _Model, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if self._ignores_calls():
            return
        if self._open:
            self._open.append((module, None))
            return
        one.called.add(module)
        begun = ForwardPass(one.model, module, args, kwargs, torch.is_grad_enabled())
        self._listener.pass_begins(begun)  # may end an update, and with it what was open before
        self._open.append((module, begun))

    def _ignores_calls(self) -> bool:
        """Whether calls now are no passes: repeated in a backward pass, of another thread, made to
        trace the model, or inside a transform of torch.func, whose tensors hold no values."""
        return (
            in_backward()
            or threading.get_ident() != self._thread
            or torch._C._get_tracing_state() is not None
            or torch._C._functorch.peek_interpreter_stack() is not None
        )

    def _leave(self, module: nn.Module, output: Any) -> None:
        if self._ignores_calls() or not self._open:
            return
        opened, one = self._open.pop()
        if opened is not module:  # a hook of the script's ended a call before this hook
            self._open = []
            return
        if one is None:
            return
        if output is not None:
            if one.with_gradient:
                mark_when_reached(one, output)
            self._listener.pass_ends(one, output)
        one.args, one.kwargs = (), {}


class _CompiledCall:
    """Hooks around the call of a module that is compiled in place, since its own are compiled."""

    def __init__(
        self, module: nn.Module, enter: Callable[..., None], leave: Callable[..., None]
    ) -> None:
        self._module, self._original = module, module._compiled_call_impl
        call: Any = self._original

        def hooked(*args: Any, **kwargs: Any) -> Any:
            output = None
            enter(module, args, kwargs)
            try:
                output = call(*args, **kwargs)
            finally:
                leave(module, args, output)
            return output

        hooked.__wrapped__ = call  # type: ignore[attr-defined]
        self._hooked: Any = hooked
        module._compiled_call_impl = hooked

    def remove(self) -> None:
        """Call the module as before."""
        if self._module._compiled_call_impl is self._hooked:
            self._module._compiled_call_impl = self._original


def mark_when_reached(one: ForwardPass, output: Any) -> None:
    """Have the backward pass note that it goes back through an output."""

    def reached(gradients: Any) -> None:
        one.reached = True

    for _, value in leaves(output):
        if isinstance(value, Tensor) and value.grad_fn is not None:
            value.grad_fn.register_prehook(reached)
