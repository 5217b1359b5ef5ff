"""Python imports this before a program of a traced command; it waits for the program to use torch.

It loads nothing but itself, so a process that never imports torch is not slowed down. The path and
the modules of the program stay as they are without the harness, and its own `sitecustomize` runs.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(_HERE)))
_OPTIONS = os.environ.get("HARNESS_TRACE")


class _Loader:
    """Loads torch as its own loader does, then attaches."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
        try:
            self._loader.exec_module(module)
        except BaseException:
            _hide_this_file()
            raise
        _attach()


class _Finder:
    """Waits for the import of torch; every other module is left to the finders after it.

    A library may only ask whether there is a torch, so it waits until the module is executed.
    """

    def __init__(self) -> None:
        self._asking = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        _leave()
        if name != "torch" or self._asking:
            return None
        self._asking = True
        try:
            for finder in list(sys.meta_path):
                found = getattr(finder, "find_spec", None)
                spec = found and found(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec.loader)
                    return spec
        finally:
            self._asking = False
        return None


def _hide_this_file() -> None:
    """Leave this file out of the traceback of an import of torch that fails."""
    show = sys.excepthook

    def without_this_file(kind: Any, error: Any, traceback: Any) -> None:
        before, place = None, traceback
        while place is not None:
            if place.tb_frame.f_code.co_filename == __file__ and before is not None:
                before.tb_next = place.tb_next
            else:
                before = place
            place = place.tb_next
        show(kind, error, traceback)

    sys.excepthook = without_this_file


def _attach() -> None:
    """Start the harness in this process. Whatever fails here never reaches the program."""
    try:
        problem = _why_not() or _start()
    except Exception as error:  # noqa: BLE001  # see above
        problem = f"the harness could not start: {type(error).__name__}: {error}"
    if problem:
        _leave_note(problem)


def _why_not() -> str:
    """Why the harness cannot be loaded here; empty if it can."""
    if sys.version_info < (3, 11):  # noqa: UP036  # the command may have another Python
        return f"Python {sys.version.split()[0]} is older than 3.11, which the harness needs"
    import importlib.machinery as machinery

    loaded = sys.modules.get("harness")
    spec = machinery.PathFinder.find_spec("harness") if loaded is None else loaded.__spec__
    origin = getattr(spec, "origin", None) or getattr(loaded, "__file__", None)
    if origin and not os.path.isdir(os.path.join(os.path.dirname(origin), "tracing", "attach")):
        return f"the program has a module `harness` of its own: {origin}"
    missing = [
        name
        for name in ("numpy", "pyarrow", "pydantic", "xxhash")
        if machinery.PathFinder.find_spec(name) is None
    ]
    if missing:
        return f"{sys.executable} lacks {', '.join(missing)}: install the harness there"
    return ""


def _start() -> str:
    """Load this very package, whatever is on the path, and start it; return what is wrong."""
    if "harness" not in sys.modules:
        import importlib.util as util

        path = os.path.join(_PACKAGE, "__init__.py")
        places = [_PACKAGE]
        spec: Any = util.spec_from_file_location("harness", path, submodule_search_locations=places)
        module = util.module_from_spec(spec)
        sys.modules["harness"] = module
        spec.loader.exec_module(module)
    from harness.execution.command.child import start

    return start(str(_OPTIONS))


def _leave_note(problem: str) -> None:
    """Tell the parent why this process is not recorded."""
    import json

    try:
        with open(str(_OPTIONS)) as file:
            notes = json.load(file)["notes"]
        with open(os.path.join(notes, f"{os.getpid()}.json"), "w") as file:
            json.dump({"problem": problem}, file)
    except Exception:  # noqa: BLE001, S110  # whatever became of the folder: the program goes on
        pass


def _leave() -> None:
    """Be no module of the program any more, unless it has a `sitecustomize` of its own."""
    if getattr(sys.modules.get("sitecustomize"), "__file__", None) == __file__:
        del sys.modules["sitecustomize"]


def _hand_on() -> None:
    """Import the `sitecustomize` that Python would have imported without the harness."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]
    sys.path_importer_cache.pop(_HERE, None)
    own: Any = sys.modules.pop(__name__, None)
    try:
        __import__(__name__)
    except ImportError as error:
        if error.name != __name__:
            raise
    finally:
        if own is not None:
            sys.modules.setdefault(__name__, own)


if __name__ == "sitecustomize":
    if _OPTIONS:
        sys.meta_path.insert(0, _Finder())
    _hand_on()
