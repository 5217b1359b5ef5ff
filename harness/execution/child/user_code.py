"""Code of the user's: how its files are imported, and where in it an error comes from.

A file is imported as Python runs a script: what lies beside it can be imported too, from whatever
folder the command was started.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from harness.errors import HarnessError, LoopUnavailable, SpecError

__all__ = ["caller", "import_file", "import_loop", "place", "reason"]

_PACKAGE = Path(__file__).parents[2]
_LIBRARIES = tuple(
    f"{Path(folder).resolve()}{os.sep}"
    for folder in {
        str(_PACKAGE),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
)


def import_loop(name: str) -> ModuleType:
    """The module of a loop, by its name or its file. Raises `SpecError`."""
    if name.endswith(".py"):
        module = import_file(Path(name), "loop")
    else:
        try:
            module = importlib.import_module(f"harness.training.loops.{name}")
        except ImportError as error:
            raise LoopUnavailable(f"loop {name} needs a library", error, "install it") from error
    form = "train(workload, recipe, probe)"
    train = getattr(module, "train", None)
    if not callable(train):
        raise SpecError(f"a loop has a function {form}", name, "add it")
    _check_signature(train, 3, form)
    return module


def import_file(path: Path, kind: str) -> ModuleType:
    """The module in a file of the user's; `kind` names it in messages. Raises `SpecError`."""
    path = path.resolve()
    name = f"user_{kind}_{path.stem}"
    source = importlib.util.spec_from_file_location(name, path)
    assert source is not None  # since the suffix is .py
    assert source.loader is not None
    module = importlib.util.module_from_spec(source)
    beside = str(path.parent)
    # A loop of this package needs no sibling by its bare name; lightning.py would hide a library.
    if beside not in sys.path and not path.is_relative_to(_PACKAGE):
        sys.path.insert(0, beside)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        source.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise SpecError(
            f"a {kind} file must import without an error", reason(error, path), "correct it"
        ) from error
    return module


def reason(error: BaseException, file: Path | None = None) -> str:
    """One line: what the error is, and where in the user's code it comes from.

    `file`: the file that is named if no line of the user's code is known.
    """
    line = " ".join(str(error).split())
    known = isinstance(error, HarnessError)
    text = line if known and line else f"{type(error).__name__}: {line}".removesuffix(": ")
    where = place(error) or (shown(file) if file is not None else "")
    return f"{text} ({where})" if where and f"{where}" not in text else text


def place(error: BaseException) -> str:
    """`FILE:LINE` of the innermost frame outside of Python, its libraries and this package.

    Empty if there is none.
    """
    if isinstance(error, SyntaxError) and error.filename and _is_users(error.filename):
        return f"{shown(Path(error.filename))}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if _is_users(frame.filename):
            return f"{shown(Path(frame.filename))}:{frame.lineno}"
    return ""


def caller() -> str:
    """`FILE:LINE` of the innermost frame of the user's code that led here; empty if none did."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return f"{shown(Path(frame.f_code.co_filename))}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def shown(path: Path) -> str:
    """The path from the current folder if the file is below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def line_of(function: Callable[..., Any]) -> str:
    """`FILE:LINE` of a function's definition; empty if it is not known."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f"{shown(Path(code.co_filename))}:{code.co_firstlineno}"


def _check_signature(function: Callable[..., Any], count: int, form: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin without a signature
        return
    try:
        signature.bind(*range(count))
    except TypeError:
        name = form.partition("(")[0]
        met = f"{line_of(function)}: {name}{signature}".removeprefix(": ")
        raise SpecError(f"a loop has a function {form}", met, f"write def {form}") from None


def _is_users(filename: str) -> bool:
    """Whether a file holds the user's code; generated code has no file."""
    path = Path(filename)
    if filename.startswith("<") or not path.suffix or not path.is_file():
        return False
    return not str(path.resolve()).startswith(_LIBRARIES)
