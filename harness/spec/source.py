"""Reads a Python file without running it: its docstring, literal constants and functions.

A file of the user's is refused here, before anything runs, if it lacks the function that makes it a
loop or a task.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import SpecError

__all__ = ["Source", "literal_defaults", "read_source", "require_function"]

_TRAINING_CALLS = frozenset({"backward", "fit", "manual_backward", "step", "train", "zero_grad"})
_TRAINING_LIBRARIES = frozenset(
    {"accelerate", "lightning", "pytorch_lightning", "torch", "transformers", "trl"}
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Source:
    """What can be known of a Python file from its text."""

    path: Path
    summary: str
    """The first paragraph of its docstring, as one line."""
    constants: dict[str, Any]
    """Its constants that are literal dicts."""
    tree: ast.Module

    def function(self, name: str) -> _Function | None:
        """The last definition of a function of that name at module level; None if there is none."""
        found = [node for node in _module_level(self.tree) if isinstance(node, _Function)]
        return next((node for node in reversed(found) if node.name == name), None)

    def binds(self, name: str) -> bool:
        """Whether the module may have that name: it is defined, assigned or imported."""
        return any(bound in (name, "*") for node in _module_level(self.tree) for bound in _of(node))

    @property
    def looks_like_a_script(self) -> bool:
        """Whether the file seems to train, or to do work, when it is run."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _TRAINING_CALLS:
                return True
        roots = {name.partition(".")[0] for name in _imported(self.tree)}
        return bool(roots & _TRAINING_LIBRARIES)


def read_source(path: Path, kind: str = "loop or workload") -> Source:
    """Parse a file. Raises `SpecError` if it is not valid Python."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:  # a null byte, or text that is not UTF-8
        line = getattr(error, "lineno", None)
        place = str(path) if line is None else f"{path}:{line}"
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SpecError(
            f"a {kind} is a file of valid Python", f"{place}: {reason}", "correct it"
        ) from None
    constants = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
            with suppress(ValueError):  # a computed table is no literal, and is not read
                constants[target.id] = ast.literal_eval(value)
    doc = ast.get_docstring(tree) or ""
    return Source(path, " ".join(doc.split("\n\n")[0].split()), constants, tree)


def require_function(source: Source, name: str, form: str, remedy: str) -> None:
    """Raise `SpecError` if the file has no function `name`, or one with other arguments.

    `form`: the function as it is documented, such as `train(workload, recipe, probe)`; as many
    positional arguments are required. An empty pair of brackets requires none. `remedy`: for a
    file without the function.
    """
    kind = "loop" if name == "train" else name
    if not source.binds(name):
        if source.looks_like_a_script:
            remedy = (
                f"a training script is traced as it is: harness trace -- python {source.path.name}"
            )
        raise SpecError(f"a {kind} is a file with a function {form}", source.path, remedy)
    function = source.function(name)
    if function is None or function.decorator_list:
        return  # imported or wrapped: what it takes is known when it is imported
    wanted = form.count(",") + 1 if "," in form else 0
    place = f"{source.path}:{function.lineno}: {name}({ast.unparse(function.args)})"
    if isinstance(function, ast.AsyncFunctionDef):
        raise SpecError(f"{name} is an ordinary function", f"{place}, async", "remove async")
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    missing_keywords = any(default is None for default in arguments.kw_defaults)
    too_few = wanted > positional and arguments.vararg is None
    if required > wanted or too_few or missing_keywords:
        correction = f"write def {form}" if wanted else "give each of its arguments a default"
        raise SpecError(f"a {kind} has a function {form}", place, correction)


def literal_defaults(function: _Function, path: Path) -> dict[str, Any]:
    """The arguments of a function with their defaults. Raises `SpecError` if one is no literal."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(
            positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True
        ),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    found = {}
    for argument, default in pairs:
        try:
            value = ast.literal_eval(default) if default is not None else ...
        except ValueError:
            value = ...
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise SpecError(
                f"an option of {function.name} has a default that is a number, a text or None",
                f"{path}:{argument.lineno}: {argument.arg}",
                "write the value itself",
            )
        found[argument.arg] = value
    return found


def _module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, also inside its `if`, `try`, `with` and loops."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, _SCOPES):
            continue
        inner = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        inner += [
            handler.body
            for handler in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]
        ]
        waiting[:0] = [statement for block in inner for statement in block]


def _of(node: ast.stmt) -> Iterator[str]:
    """The names that a statement binds; `*` for an import of everything."""
    if isinstance(node, _SCOPES):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for target in filter(None, targets):
            yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
