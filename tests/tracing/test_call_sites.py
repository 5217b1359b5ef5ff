"""The site of a call is the innermost frame of the user's code, with the text of the call."""

from __future__ import annotations

import linecache
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import harness
from harness.tracing import call_sites
from harness.tracing.call_sites import Site, call_site

_PACKAGE = Path(harness.__file__).parent


def run(path: Path, text: str, encoding: str = "utf-8", **names: Any) -> list[Site | None]:
    """Write a script and run it. Each `record()` in it leaves the site of its call."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = textwrap.dedent(text).lstrip()
    path.write_text(text, encoding=encoding)
    linecache.checkcache(str(path))
    found: list[Site | None] = []
    names |= {"record": lambda *values: found.append(call_site(_caller()))}
    exec(compile(path.read_bytes(), str(path), "exec"), names)  # noqa: S102  # a script made here
    return found


def _caller() -> FrameType | None:
    """The frame that called `record`."""
    return sys._getframe(2)


@pytest.mark.parametrize(
    ("text", "line", "source"),
    [
        ("record()", 1, "record()"),
        ("x = 1\ny = [2, record(x)]", 2, "record(x)"),
        ("record(\n    1,  # one\n    2,\n)", 1, "record( 1, # one 2, )"),
        ("for _ in map(record, [1]):\n    pass", 1, "for _ in map(record, [1]):"),
        ("call = lambda: record(3)\ncall()", 1, "record(3)"),
        ("values = [record(n) for n in (5,)]", 1, "record(n)"),
        ("text = 'ä'; record(text)", 1, "record(text)"),
        ("if True: record(\n    {'a': 1})", 1, "record( {'a': 1})"),
        ("x = [1, 2]\nrecord(x[0:1],\n    2)", 2, "record(x[0:1], 2)"),
        ("with open(record() or __file__): pass", 1, "record()"),
    ],
)
def test_the_text_is_that_of_the_call(text: str, line: int, source: str, tmp_path: Path) -> None:
    """On one line, without what stands around it."""
    path = tmp_path / "script.py"
    (site,) = run(path, text, __file__=str(path))
    assert Site(f"{path}:{line}", source, "") == site


def test_each_call_of_a_line_has_its_own_text(tmp_path: Path) -> None:
    """And the innermost function is the place, not its caller."""
    path = tmp_path / "script.py"
    sites = run(path, "def inner():\n    record(1); record(2)\ninner()\n")
    assert [(f"{path}:2", "record(1)", ""), (f"{path}:2", "record(2)", "")] == sites


def test_a_path_below_the_working_folder_is_shown_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other is shown whole."""
    monkeypatch.chdir(tmp_path / "..")
    (site,) = run(tmp_path / "sub" / "script.py", "record()")
    assert site is not None
    assert f"{tmp_path.name}/sub/script.py:1" == site.place
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (site,) = run(tmp_path / "sub" / "other.py", "record()")
    assert site is not None
    assert f"{tmp_path}/sub/other.py:1" == site.place


def test_equal_functions_of_two_files_have_their_own_places(tmp_path: Path) -> None:
    """Python takes equal code for the same code, whatever file it stands in."""
    paths = [tmp_path / "one.py", tmp_path / "two.py"]
    sites = [run(path, "record('the same')")[0] for path in paths]
    assert [f"{path}:1" for path in paths] == [site and site.place for site in sites]


def test_a_long_call_is_cut(tmp_path: Path) -> None:
    """To 160 characters, of which the last three show it."""
    (site,) = run(tmp_path / "script.py", f"record({'1, ' * 100})")
    assert site is not None
    assert (160, "...") == (len(site.source), site.source[-3:])


def test_code_without_a_file_is_passed_over(tmp_path: Path) -> None:
    """Its caller is the place."""
    path = tmp_path / "script.py"
    text = "exec('record()')\n\nexec(compile('record()', '<string>', 'exec'))\n"
    assert [
        (f"{path}:1", "exec('record()')"),
        (f"{path}:3", "exec(compile('record()', '<string>', 'exec'))"),
    ] == [site[:2] for site in run(path, text) if site is not None]


def test_a_file_that_cannot_be_read_leaves_its_line(tmp_path: Path) -> None:
    """A removed file has a line and no text; a file that is not UTF-8 raises nothing."""
    path = tmp_path / "gone.py"
    (site,) = run(path, "import os\nos.remove(__file__); clear(__file__); record()", **_gone(path))
    assert Site(f"{path}:2", "", "") == site
    path = tmp_path / "latin.py"
    text = "# -*- coding: latin-1 -*-\nx = 'ä'; record(x)"
    (site,) = run(path, text, "latin-1")
    assert site is not None
    assert (f"{path}:2", "record(x)") == site[:2]


def _gone(path: Path) -> dict[str, Any]:
    return {"__file__": str(path), "clear": linecache.checkcache}


@pytest.mark.parametrize(
    ("folder", "kept"),
    [
        (Path(sysconfig.get_path("purelib")) / "torch" / "optim" / "adam.py", False),
        (Path(sysconfig.get_path("stdlib")) / "contextlib.py", False),
        (Path(sysconfig.get_path("purelib")) / "somelib" / "trainer.py", True),
    ],
)
def test_libraries_are_passed_over(folder: Path, kept: bool, tmp_path: Path) -> None:
    """The user's line is the place. The line of a library, other than torch, is kept beside it."""
    path = tmp_path / "script.py"
    (site,) = run(path, "call(record)", call=_function_in(folder))
    library = "somelib/trainer.py:2" if kept else ""
    assert Site(f"{path}:1", "call(record)", library) == site


def test_this_package_itself_is_no_site(tmp_path: Path) -> None:
    """What it computes is nobody's; its loops and tasks count as user code."""
    path = tmp_path / "script.py"
    own = _function_in(_PACKAGE / "tracing" / "digest.py")
    assert [None] == run(path, "call(record)", call=own)
    loop = _function_in(_PACKAGE / "training" / "loops" / "made_up.py")
    (site,) = run(path, "call(record)", call=loop)
    assert site is not None
    assert site.place.endswith("harness/training/loops/made_up.py:2")


def test_without_a_frame_of_the_users_there_is_no_place() -> None:
    """As in a thread that a library began."""
    assert Site("", "", "") == call_site(None)


def _function_in(path: Path) -> Callable[[Callable[[], None]], None]:
    """A function whose code says that it stands in line 2 of that file, which need not exist."""
    names: dict[str, Any] = {}
    text = "def call(record):\n    record()\n"
    exec(compile(text, str(path), "exec"), names)  # noqa: S102  # two lines made here
    function: Callable[[Callable[[], None]], None] = names["call"]
    return function


def test_whatever_takes_the_place_of_a_function_of_torch_is_passed_over() -> None:
    """Else the operations of a first forward pass would count as the harness's own."""
    tracing = Path(call_sites.__file__).parent
    replacing = {
        path for path in tracing.rglob("*.py") if "functools.wraps(" in path.read_text("utf-8")
    }
    assert {tracing / "backward.py", tracing / "attach" / "notice.py"} <= replacing
    assert {str(path) for path in replacing if call_sites._kind(str(path)) != "passed"} == set()
