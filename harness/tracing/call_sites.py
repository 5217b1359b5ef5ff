"""Where in the user's code a call comes from: the innermost frame outside torch and the libraries.

The loops and tasks that this package ships count as user code, since they are what is compared. The
rest of the package does not.
"""

from __future__ import annotations

import linecache
import site
import sysconfig
from functools import cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import torch

from harness.units import on_one_line

__all__ = ["Site", "call_site", "is_of_user", "shown_path"]

_PACKAGE = Path(__file__).resolve().parents[1]
_TORCH = Path(torch.__file__).resolve().parent
_STAND_IN = {
    _PACKAGE / "tracing" / f"{name}.py"
    for name in (
        "backward",
        "clipping",
        "copies",
        "sites",
        "state",
        "attach/early",
        "attach/notice",
    )
}
"""Files with functions that take the place of torch's and call them."""


class Site(NamedTuple):
    """A place in the user's code, and what it called."""

    place: str
    """`FILE:LINE`; empty if no frame is the user's."""
    source: str
    """The call as it stands there, on one line; empty if the file cannot be read."""
    library: str
    """`FILE:LINE` within the library, other than torch, that made the call; empty if none did."""


_NOWHERE = Site("", "", "")


def call_site(frame: FrameType | None) -> Site | None:
    """The site of the call that `frame` makes; None if this package itself makes it."""
    library = ""
    while frame is not None:
        code = frame.f_code
        kind = _kind(code.co_filename)
        if kind == "own":
            return None
        if kind == "user":
            return Site(*_call(code.co_filename, code, frame.f_lasti), library)
        if kind == "library" and not library:
            library = f"{_from_packages(code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return _NOWHERE._replace(library=library)


@cache
def _kind(filename: str) -> str:
    """Whose code a file holds: the `user`'s, a `library`'s, or this package's `own`.

    `passed`: torch's or Python's, whose caller counts.
    """
    if filename.startswith("<"):
        return "passed"  # generated code: it says nothing, and its caller does
    path = Path(filename).resolve()
    if path.is_relative_to(_TORCH):
        return "passed"
    if path.is_relative_to(_PACKAGE):
        if path.is_relative_to(_PACKAGE / "training"):
            return "user"
        # Functions of these files stand in for torch's own, and call them.
        return "passed" if path in _STAND_IN else "own"
    if any(path.is_relative_to(folder) for folder in _folders("purelib", "platlib")):
        return "library"
    return "passed" if any(map(path.is_relative_to, _folders("stdlib", "platstdlib"))) else "user"


@cache
def _folders(*names: str) -> tuple[Path, ...]:
    """Folders of `sysconfig`; those of libraries include the user's own."""
    paths = {sysconfig.get_path(name) for name in names}
    if "purelib" in names:
        paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(Path(path).resolve() for path in paths if path)


def _from_packages(filename: str) -> str:
    """The path of a library's file from the folder that holds the library."""
    path = Path(filename).resolve()
    folders = [each for each in _folders("purelib", "platlib") if path.is_relative_to(each)]
    return str(path.relative_to(max(folders, key=lambda folder: len(folder.parts))))


@cache
def _call(filename: str, code: CodeType, instruction: int) -> tuple[str, str]:
    """The place and the text of the call at an instruction of the user's code.

    `filename`: that of `code`, for the cache: equal functions of two files are equal.
    """
    positions = next(islice(code.co_positions(), instruction // 2, None))
    first, last, start, end = positions
    line = first or code.co_firstlineno
    lines = [linecache.getline(filename, n) for n in range(line, (last or line) + 1)]
    if start is not None and end is not None and lines:
        # Columns count bytes of UTF-8.
        encoded = [text.encode() for text in lines]
        encoded[-1] = encoded[-1][:end]
        encoded[0] = encoded[0][start:]
        lines = [text.decode(errors="replace") for text in encoded]
    text = " ".join(lines)
    head = " ".join(lines[0].split())
    if len(lines) > 1 and head.endswith(":"):  # a statement that holds others, such as a loop
        text = head
    return f"{shown_path(filename)}:{line}", on_one_line(text)


def is_of_user(filename: str) -> bool:
    """Whether a file holds the user's code; loops and tasks of this package count as such."""
    return _kind(filename) == "user"


@cache
def shown_path(filename: str) -> str:
    """The path of a user's file as a reader knows it: from the folder of the program."""
    path = Path(filename)
    roots = (Path.cwd(), _PACKAGE.parent) if path.is_relative_to(_PACKAGE) else (Path.cwd(),)
    root = next((root for root in roots if path.is_relative_to(root)), None)
    return str(path if root is None else path.relative_to(root))
