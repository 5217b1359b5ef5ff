"""Follows a replayed training line by line, through the user's code alone.

It notes which statements ran, and which of them last changed each part of the state (`StateWatch`).
Python calls it at every call of a function, and for every line of those in the user's files. So it
is used only in replays that localize, never in the runs that are compared or timed.
"""

from __future__ import annotations

import ast
import os
import sys
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from harness.tracing.call_sites import is_of_user, shown_path
from harness.tracing.state import Line, StateWatch

__all__ = ["LineTrace", "Statement", "following", "start", "statement_at"]

_current: LineTrace | None = None


class Statement(NamedTuple):
    """A statement that ran."""

    number: int
    """From 1, in the order in which statements first ran."""
    place: str
    """`FILE:LINE`."""
    source: str
    """Its text on one line; of a statement that holds others, its head."""
    function: str
    """Qualified name of the function that it is part of; empty in a module."""
    parameters: tuple[str, ...]
    """Those of the function, in their order."""


class LineTrace:
    """The statements of the user's code that have run in this thread."""

    def __init__(self) -> None:
        self.state = StateWatch()
        self._ran: dict[Line, None] = {}
        self._modules: set[str] = set()
        self._now: Line | None = None
        self._process = os.getpid()

    def start(self) -> None:
        """Follow the code that runs now, and every function that is called from now on."""
        self.state.install()
        sys.settrace(self._called)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if is_of_user(frame.f_code.co_filename):
                frame.f_trace = self._in_user_code
                self._note_module(frame)
            frame = frame.f_back

    def stop(self) -> None:
        """Follow no more; what was noted stays."""
        if sys.gettrace() == self._called:
            sys.settrace(None)
        self.state.remove()

    def look(self) -> None:
        """Note what the running line has changed so far."""
        self.state.look(self._now)

    def statements(self) -> Iterator[Statement]:
        """Each statement that ran, in the order of their first run.

        The number is 0 for the statements of a module that was imported before it was followed.
        """
        for filename in dict.fromkeys(filename for filename, _ in self._ran):
            if filename not in self._modules:
                for first, text in _of_module(filename):
                    yield Statement(0, f"{shown_path(filename)}:{first}", text, "", ())
        found: dict[tuple[str, str], Line] = {}
        for line in self._ran:
            statement = statement_at(line)
            if statement is not None:
                found.setdefault(statement, line)
        for number, ((place, text), line) in enumerate(found.items(), start=1):
            yield Statement(number, place, text, *_function_at(line))

    def _note_arguments(self, made: Any) -> None:
        """Note where the settings of a Trainer are made; they are a data class of transformers."""
        if any(kind.__name__ == "TrainingArguments" for kind in type(made).__mro__):
            self.state.note_arguments(made, self._now)

    def _note_module(self, frame: FrameType) -> None:
        if frame.f_code.co_name == "<module>":
            self._modules.add(frame.f_code.co_filename)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        if os.getpid() != self._process:  # a fork of it, such as a worker of a loader
            sys.settrace(None)
            return None
        if not is_of_user(frame.f_code.co_filename):
            if frame.f_code.co_filename == "<string>" and frame.f_code.co_name == "__init__":
                self._note_arguments(frame.f_locals.get("self"))
            return None
        self._note_module(frame)
        return self._in_user_code

    def _in_user_code(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.state.look(self._now)
            self._now = frame.f_code.co_filename, frame.f_lineno
            self._ran.setdefault(self._now)
        elif event == "return":
            self.state.look(self._now)
            caller = frame.f_back
            while caller is not None and not is_of_user(caller.f_code.co_filename):
                caller = caller.f_back
            self._now = None if caller is None else (caller.f_code.co_filename, caller.f_lineno)
        return self._in_user_code


def start() -> LineTrace | None:
    """Follow this process from now on; None if something else, such as a debugger, follows it."""
    global _current
    if sys.gettrace() is not None:
        return None
    _current = LineTrace()
    _current.start()
    return _current


def following() -> LineTrace | None:
    """What follows this process; None if nothing does."""
    return _current


def statement_at(line: Line) -> tuple[str, str] | None:
    """Place and text of the innermost statement at a line; None if there is none, as in no file.

    Of a statement that holds others, such as a loop, the text is its head.
    """
    statements = _statements(line[0])
    place = bisect_right(statements, (line[1], sys.maxsize, "")) - 1
    while place >= 0 and statements[place][1] < line[1]:
        place -= 1
    if place < 0:
        return None
    first, _, text = statements[place]
    return f"{shown_path(line[0])}:{first}", text


def _function_at(line: Line) -> tuple[str, tuple[str, ...]]:
    """Name and parameters of the innermost function around a line; of none in a module."""
    inside = [one for one in _functions(line[0]) if one[0] <= line[1] <= one[1]]
    return max(inside)[2:] if inside else ("", ())


@cache
def _functions(filename: str) -> list[tuple[int, int, str, tuple[str, ...]]]:
    """First and last line of the body, qualified name and parameters of each function of a file."""
    found = []

    def visit(parent: ast.AST, prefix: str) -> None:
        for node in ast.iter_child_nodes(parent):
            name = prefix
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{node.name}"
                if not isinstance(node, ast.ClassDef):
                    held = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                    parameters = tuple(one.arg for one in held)
                    last = node.end_lineno or node.lineno
                    found.append((node.body[0].lineno, last, name, parameters))
                name += "."
            visit(node, name)

    visit(_tree(filename), "")
    return found


def _of_module(filename: str) -> Iterator[tuple[int, str]]:
    """First line and text of the statements of a file that its import runs, except in blocks."""
    for node in _tree(filename).body:
        if not hasattr(node, "body") and not _computes_nothing(node):
            yield node.lineno, " ".join(ast.unparse(node).split())


@cache
def _tree(filename: str) -> ast.Module:
    """The source of a file; nothing if it cannot be read."""
    try:
        return ast.parse(Path(filename).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ast.Module([], [])


@cache
def _statements(filename: str) -> list[tuple[int, int, str]]:
    """First and last line, and text, of each statement of a file that computes something."""
    found = []
    for node in ast.walk(_tree(filename)):
        if not isinstance(node, ast.stmt) or _computes_nothing(node):
            continue
        last, text = node.end_lineno or node.lineno, ast.unparse(node)
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        if body:  # the statements inside stand for themselves
            last = max(node.lineno, _first_line(body[0]) - 1)
            text = text.partition("\n")[0]
        found.append((node.lineno, last, " ".join(text.split())))
    return sorted(found)


def _computes_nothing(node: ast.stmt) -> bool:
    """Whether a statement only imports, defines, or is a text such as a docstring."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return isinstance(node, _NAMING)


_NAMING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _first_line(node: Any) -> int:
    line: int = node.lineno if isinstance(node, ast.stmt) else node.pattern.lineno
    return line
