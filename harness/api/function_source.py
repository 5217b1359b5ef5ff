"""The source of a function as a file of its own, if it needs nothing that is only in this process.

The file holds the imports that the function uses, constants that can be written down, other
functions of the same kind, and the function itself. Everything else is refused: a variable of a
closure, an object of the notebook, a global that the function changes.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from harness.errors import SpecError

__all__ = ["search_folder", "self_contained"]

_REMEDY = "put it into a file of its own, and pass the path of the file"


def self_contained(function: FunctionType) -> str:
    """The text of a file that defines `train` as this function. Raises `SpecError`."""
    parts = _Parts(function.__name__)
    parts.add(function)
    name = inspect.unwrap(function).__name__
    paths = [f"sys.path.insert(0, {folder!r})" for folder in parts.folders]
    return "\n".join(
        [
            f'"""The function {name}, copied from {parts.where}, as a loop."""',
            "",
            "from __future__ import annotations",
            "",
            *(["import sys", "", *paths, ""] if paths else []),
            *parts.imports,
            *parts.constants,
            "",
            *(f"\n{source}" for source in parts.functions.values()),
            *([] if name == "train" else [f"\ntrain = {name}"]),
            "",
        ]
    )


class _Parts:
    """What the file is made of."""

    def __init__(self, name: str) -> None:
        self._loop = name
        self.where = ""
        self.folders: dict[str, None] = {}
        """Folders where imported modules of the user's lie."""
        self.imports: dict[str, None] = {}
        self.constants: dict[str, None] = {}
        self.functions: dict[str, str] = {}

    def add(self, function: FunctionType) -> None:
        """Add a function, after everything that it uses."""
        inner = inspect.unwrap(function)
        if not isinstance(inner, FunctionType) or inner.__code__.co_freevars:
            names = ", ".join(getattr(inner.__code__, "co_freevars", ())) or "its wrapper"
            raise self._refused(f"{function.__name__} is a closure over {names}")
        source = _source_of(inner)
        if source is None:
            raise self._refused(f"the source of {function.__name__} is not known")
        if not _defaults_are_literals(source):
            raise self._refused(f"{function.__name__} has a default that is no constant")
        self.where = self.where or Path(inner.__code__.co_filename).name
        self.functions[inner.__name__] = ""  # it may call itself
        for name, assigned in _globals_of(source):
            if assigned:
                raise self._refused(f"{function.__name__} changes the global {name}")
            if name in inner.__globals__:
                self._add_value(name, inner.__globals__[name], inner)
            elif not hasattr(builtins, name):
                raise self._refused(f"{function.__name__} uses {name}, which is not defined")
        del self.functions[inner.__name__]
        self.functions[inner.__name__] = source

    def _add_value(self, name: str, value: Any, user: FunctionType) -> None:
        if isinstance(value, FunctionType) and value.__module__ in (user.__module__, "__main__"):
            if value.__name__ != name:
                raise self._refused(f"{user.__name__} uses {value.__name__} by the name {name}")
            if name not in self.functions:
                self.add(value)
        elif isinstance(value, ModuleType) and value.__name__ in sys.modules:
            self._import(value, f"import {value.__name__} as {name}", name)
        elif (module := _home_of(value)) is not None:
            self._import(module, f"from {module.__name__} import {value.__name__} as {name}", name)
        elif (text := _literal(value)) is not None:
            self.constants[f"{name} = {text}"] = None
        else:
            kind = "the class" if isinstance(value, type) else f"a {type(value).__name__},"
            raise self._refused(f"{user.__name__} uses {kind} {name}, which exists only here")

    def _import(self, module: ModuleType, line: str, name: str) -> None:
        if module.__name__ == "__main__":
            raise self._refused(f"it uses the running script as {name}")
        folder = search_folder(module)
        if folder is not None and not _is_library(folder):
            self.folders[folder] = None
        self.imports[line] = None

    def _refused(self, met: str) -> SpecError:
        rule = f"the function {self._loop} must reach another process by its source alone"
        return SpecError(rule, met, _REMEDY)


def search_folder(module: ModuleType) -> str | None:
    """The folder in which Python finds the top of a module's name; None if it is in no file."""
    path = getattr(module, "__file__", None)
    if path is None:
        return None
    parts = module.__name__.split(".")
    found = Path(path).resolve()
    stem = found.parent if found.stem == "__init__" else found.with_suffix("")
    if list(stem.parts[-len(parts) :]) != parts:
        return None
    return str(stem.parents[len(parts) - 1])


def _is_library(folder: str) -> bool:
    return any(
        folder.startswith(str(Path(base).resolve())) for base in (sys.prefix, sys.base_prefix)
    )


def _home_of(value: Any) -> ModuleType | None:
    """The module from which a function or class can be imported by its name."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    name = getattr(value, "__name__", None)
    if module is None or module.__name__ == "__main__" or not isinstance(name, str):
        return None
    return module if getattr(module, name, None) is value else None


def _literal(value: Any) -> str | None:
    """The value as source; None if it cannot be written down."""
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return text if same is True else None


def _source_of(function: FunctionType) -> str | None:
    """The source from which the function was compiled; None if it is not known or was changed."""
    linecache.checkcache(function.__code__.co_filename)
    try:
        source = textwrap.dedent(inspect.getsource(function))
        code = compile(source, "source", "exec", dont_inherit=True)
    except (OSError, TypeError, SyntaxError):
        return None
    own = (each for each in code.co_consts if isinstance(each, CodeType))
    same = any(_content(each) == _content(function.__code__) for each in own)
    return source if same else None


def _defaults_are_literals(source: str) -> bool:
    """Whether each default of the function is the same wherever it is evaluated."""
    definition = ast.parse(source).body[0]
    if not isinstance(definition, ast.FunctionDef):
        return False
    defaults = [*definition.args.defaults, *filter(None, definition.args.kw_defaults)]
    try:
        for each in defaults:
            ast.literal_eval(each)
    except ValueError:
        return False
    return True


def _content(code: CodeType) -> tuple[Any, ...]:
    """What a code object does, wherever it stands."""
    constants = tuple(
        _content(each) if isinstance(each, CodeType) else (type(each), repr(each))
        for each in code.co_consts
    )
    return code.co_code, code.co_names, code.co_varnames, constants


def _globals_of(source: str) -> Iterator[tuple[str, bool]]:
    """The names outside of the function that it uses, and whether it assigns to them."""
    bare = ast.unparse(ast.fix_missing_locations(_WithoutAnnotations().visit(ast.parse(source))))
    table = symtable.symtable(bare, "source", "exec")
    found: dict[str, bool] = {}
    defined = {each.get_name() for each in table.get_symbols() if each.is_assigned()}
    for each in table.get_symbols():
        if each.is_referenced() and not each.is_assigned():
            found[each.get_name()] = False
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        for each in inner.get_symbols():
            if each.is_global() and each.get_name() not in defined:
                name = each.get_name()
                found[name] = found.get(name, False) or each.is_assigned()
    yield from sorted(found.items())


class _WithoutAnnotations(ast.NodeTransformer):
    """Leaves out annotations: the file does not evaluate them."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """An argument."""
        return ast.arg(arg=node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # as `ast` names it
        """A function."""
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign:  # as `ast` names it
        """A variable."""
        self.generic_visit(node)
        return ast.Assign(targets=[node.target], value=node.value or ast.Constant(None))
