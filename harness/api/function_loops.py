"""A Python function as a loop: how it reaches the process that trains.

That process imports a file. A function that can be imported is imported there by its file and name.
One of a notebook or of the running script is copied by its source, with the imports and constants
that it uses (`harness.api.function_source`). Nothing is pickled. The small files are kept in the
cache, under a digest of their text, so that a run can be repeated.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from platformdirs import user_cache_path

from harness.api.function_source import search_folder, self_contained
from harness.errors import SpecError
from harness.results.record import write_atomically

__all__ = ["Loop", "loop_names"]

Loop = str | Callable[..., Any]
"""The name of a loop, the path of its file, or a function `train(workload, recipe, probe)`."""

_FORM = "train(workload, recipe, probe)"


def loop_names(loops: Loop | Sequence[Loop]) -> list[str]:
    """Names or paths of loops; a function is replaced by the path of a file that holds it.

    Raises `SpecError` for a function that cannot reach another process.
    """
    given = [loops] if isinstance(loops, str) or callable(loops) else list(loops)
    return [loop if isinstance(loop, str) else _file_of(loop) for loop in given]


def _file_of(function: Any) -> str:
    if not isinstance(function, FunctionType):
        kind = f"a value of type {type(function).__name__}"
        raise SpecError("a loop is a name, a path, or a function", kind, f"write def {_FORM}")
    name = function.__name__
    if not name.isidentifier():
        raise SpecError("a loop has a name", "a lambda", f"write def {_FORM}")
    _check_signature(function)
    module = _importable_from(function)
    if module is None:
        return _kept(name, self_contained(function))
    path = Path(str(module.__file__)).resolve()
    if function.__qualname__ == "train" and _is_top_level(module):
        return str(path)
    return _kept(name, _import_of(function, module, path))


def _check_signature(function: FunctionType) -> None:
    try:
        inspect.signature(function).bind(*range(3))
    except TypeError:
        code = function.__code__
        met = f"{code.co_filename}:{code.co_firstlineno}: {function.__name__}"
        met += str(inspect.signature(function))
        raise SpecError(f"a loop is a function {_FORM}", met, "correct its arguments") from None


def _importable_from(function: FunctionType) -> ModuleType | None:
    """The module of a file from which the function can be imported; None: there is none.

    The running script and a module that is still being imported would run again.
    """
    module = sys.modules.get(function.__module__)
    spec = getattr(module, "__spec__", None)
    if module is None or module.__name__ == "__main__" or getattr(spec, "_initializing", False):
        return None
    path = getattr(module, "__file__", None)
    if path is None or not path.endswith(".py") or not Path(path).is_file():
        return None
    value: Any = module
    for part in function.__qualname__.split("."):
        value = getattr(value, part, None)
    return module if value is function else None


def _is_top_level(module: ModuleType) -> bool:
    return "." not in module.__name__


def _import_of(function: FunctionType, module: ModuleType, path: Path) -> str:
    """A file that imports the function."""
    folder = search_folder(module)
    lines = [f'"""The function {function.__qualname__} of {path.name}, as a loop."""', ""]
    if _is_top_level(module) or folder is None:
        lines += [
            "from pathlib import Path",
            "",
            "from harness.execution.child.user_code import import_file",
            "",
            f"_module = import_file(Path({str(path)!r}), 'loop')",
        ]
    else:
        lines += [
            "import sys",
            "from importlib import import_module",
            "",
            f"sys.path.insert(0, {folder!r})",
            f"_module = import_module({module.__name__!r})",
        ]
    return "\n".join([*lines, f"train = _module.{function.__qualname__}", ""])


def _kept(name: str, text: str) -> str:
    """The path of a file with this text; `name` becomes the label of its runs."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    folder = user_cache_path("trainloop-harness") / "functions" / digest
    path = folder / f"{name}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        rule = "a function that is a loop is kept as a file in the cache"
        raise SpecError(rule, error, "put it into a file of your own, and pass its path") from None
    return str(path)
