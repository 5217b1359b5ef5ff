"""Copies, pickles and scripted forms of a watched module hold no hook of the harness.

Python pickles and copies the hooks of a module with it, `torch.jit.script` compiles them, and
`torch.jit.trace` runs them while it records. So a script that saves its whole model, copies it for
an average, or scripts it would meet hooks that it never made. While models are watched, these
operations leave the hooks of this package out.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["hide_hooks", "stop_hiding"]

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_CALL = "_compiled_call_impl"
_PACKAGE = __name__.rpartition(".")[0]
_script, _trace, _trace_module = torch.jit.script, torch.jit.trace, torch.jit.trace_module
_watching: list[object] = []


def hide_hooks(owner: object) -> None:
    """Begin to leave hooks out, as long as `owner` watches."""
    if not _watching:
        nn.Module.__reduce_ex__ = _reduce_ex  # type: ignore[assignment,method-assign]
        for name, (_, replacement) in _REPLACED.items():
            setattr(torch.jit, name, replacement)
    _watching.append(owner)


def stop_hiding(owner: object) -> None:
    """`owner` watches no more."""
    if owner in _watching:
        _watching.remove(owner)
        if not _watching:
            del nn.Module.__reduce_ex__
            for name, (original, replacement) in _REPLACED.items():
                if getattr(torch.jit, name) is replacement:
                    setattr(torch.jit, name, original)


def _is_ours(hook: Any) -> bool:
    while isinstance(hook, functools.partial):
        hook = hook.func
    module = getattr(hook, "__module__", None)
    return isinstance(module, str) and module.startswith(_PACKAGE)


def _reduce_ex(self: nn.Module, protocol: Any) -> Any:
    """As without the harness, but for the hooks of this package."""
    reduced = object.__reduce_ex__(self, protocol)
    if isinstance(reduced, tuple) and len(reduced) > 2 and isinstance(reduced[2], dict):
        state = dict(reduced[2])
        for name in _HOOKS:
            hooks = state.get(name)
            if hooks and any(_is_ours(hook) for hook in hooks.values()):
                kept = [(key, hook) for key, hook in hooks.items() if not _is_ours(hook)]
                state[name] = OrderedDict(kept)
        for name, flags in state.items():
            if name.startswith(_HOOKS) and name not in _HOOKS and flags:  # flags of single hooks
                hooks = state[next(hooks for hooks in _HOOKS if name.startswith(hooks))]
                state[name] = OrderedDict(
                    (key, flag) for key, flag in flags.items() if key in hooks
                )
        if _is_ours(state.get(_CALL)):
            state[_CALL] = state[_CALL].__wrapped__
        return (*reduced[:2], state, *reduced[3:])
    return reduced


@functools.wraps(_script)
def _script_without_hooks(obj: Any, *args: Any, **kwargs: Any) -> Any:
    kwargs["_frames_up"] = kwargs.get("_frames_up", 0) + 1  # this frame
    with _without_hooks(obj):
        return _script(obj, *args, **kwargs)


@functools.wraps(_trace)
def _trace_without_hooks(func: Any, *args: Any, **kwargs: Any) -> Any:
    # Also of a method of a module.
    with _without_hooks(getattr(func, "__self__", func)):
        return _trace(func, *args, **kwargs)  # type: ignore[no-untyped-call]


@functools.wraps(_trace_module)
def _trace_module_without_hooks(mod: Any, *args: Any, **kwargs: Any) -> Any:
    with _without_hooks(mod):
        return _trace_module(mod, *args, **kwargs)  # type: ignore[no-untyped-call]


_REPLACED = {
    "script": (_script, _script_without_hooks),
    "trace": (_trace, _trace_without_hooks),
    "trace_module": (_trace_module, _trace_module_without_hooks),
}
"""Functions of `torch.jit`, and what stands for them while models are watched."""


@contextmanager
def _without_hooks(module: Any) -> Iterator[None]:
    """Take the hooks of this package from a module and all inside it, for a while."""
    taken = []
    for each in module.modules() if isinstance(module, nn.Module) else ():
        for name in _HOOKS:
            hooks: Any = getattr(each, name, {})
            ours = [key for key, hook in hooks.items() if _is_ours(hook)]
            taken += [(hooks, key, hooks.pop(key)) for key in ours]
    try:
        yield
    finally:
        for hooks, key, hook in taken:
            hooks[key] = hook
