"""Shows the exceptions of a program as they are without the harness, and remembers the last one.

Frames of the harness are left out of a traceback. A module with hooks makes one call more than a
module without, and that one is left out too.
"""

from __future__ import annotations

import dis
import sys
import threading
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["Exceptions", "cleaned"]

_PACKAGE = str(Path(__file__).parents[2])
_CALL = nn.Module._call_impl.__code__
_INNER = next(
    (c for c in _CALL.co_consts if isinstance(c, CodeType) and c.co_name == "inner"), None
)


_PASSES_ON = (
    *("__init__", "__call__", "__setattr__", "_outermost"),
    *("_backward", "clip_gradients", "hooked", "exec_module"),
    *("_script_without_hooks", "_trace_without_hooks", "_trace_module_without_hooks"),
)
"""Functions of the harness that call the program's own."""


class Exceptions:
    """Stands before `sys.excepthook` and `threading.excepthook`, which are called as ever."""

    def __init__(self) -> None:
        self.last: BaseException | None = None
        """The exception that ended the main thread, if one did."""

    def install(self, before: Any) -> None:
        """`before`: called first, with no argument, so that the hooks on modules are removed."""
        show, show_in_thread = sys.excepthook, threading.excepthook

        def excepthook(
            kind: type[BaseException], error: BaseException, place: TracebackType | None
        ) -> None:
            self.last = error
            before()
            _clean(error)
            show(kind, error, cleaned(place))

        def thread_excepthook(arguments: Any) -> None:
            if arguments.exc_value is not None:
                _clean(arguments.exc_value)
            parts = (arguments.exc_type, arguments.exc_value, cleaned(arguments.exc_traceback))
            show_in_thread(threading.ExceptHookArgs((*parts, arguments.thread)))

        sys.excepthook, threading.excepthook = excepthook, thread_excepthook


def _clean(error: BaseException) -> None:
    """Clean the traceback of an error and of those that led to it."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = cleaned(one.__traceback__)
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def cleaned(place: TracebackType | None) -> TracebackType | None:
    """The traceback as the program would have left it."""
    entries = []
    while place is not None:
        entries.append(place)
        place = place.tb_next
    kept: list[tuple[TracebackType, int, int]] = []
    for entry in entries:
        code = entry.tb_frame.f_code
        if code.co_filename.startswith(_PACKAGE) and not _is_users(entry):
            if code.co_name in _PASSES_ON:
                continue
            break  # what the harness itself was doing when a signal came
        if code is _INNER and kept and kept[-1][0].tb_frame.f_code is _CALL:
            plain = _plain_call(kept[-1][0])
            if plain is not None:
                kept[-1] = (kept[-1][0], *plain)
                continue
        kept.append((entry, entry.tb_lasti, entry.tb_lineno))
    following: TracebackType | None = None
    for entry, instruction, line in reversed(kept):
        following = TracebackType(following, entry.tb_frame, instruction, line)
    return following


def _is_users(entry: TracebackType) -> bool:
    """Whether code of this package runs because the program itself called it."""
    return not entry.tb_frame.f_globals.get("__name__", "").startswith(
        ("harness.tracing", "harness.execution.command", "sitecustomize")
    )


def _plain_call(entry: TracebackType) -> tuple[int, int] | None:
    """Instruction and line where a module without hooks calls `forward`; None if it has hooks."""
    module = entry.tb_frame.f_locals.get("self")
    own = ("_backward_hooks", "_backward_pre_hooks", "_forward_hooks", "_forward_pre_hooks")
    if any(getattr(module, name, None) for name in own) or torch_module._has_any_global_hook():
        return None
    line = 0
    for instruction in dis.get_instructions(_CALL):
        if instruction.starts_line is not None:
            line = instruction.starts_line
        if instruction.opname.startswith("CALL_FUNCTION_EX"):
            return instruction.offset, line
    return None
