"""The user's files may import what lies beside them, and an error names their line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.errors import SpecError
from harness.execution.child.user_code import import_file, import_loop, place, reason
from harness.training.loops import minimal

LOOP = "def train(workload, recipe, probe): ...\n"


@pytest.fixture(autouse=True)
def modules_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an import leaves behind is removed."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("user_", "lies_beside")):
            del sys.modules[name]


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_loop_imports_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whatever folder the command was started."""
    written(tmp_path / "loops", "RATE = 0.5\n", "lies_beside_a_loop.py")
    path = written(tmp_path / "loops", f"from lies_beside_a_loop import RATE\n{LOOP}")
    monkeypatch.chdir("/")
    assert 0.5 == import_loop(str(path)).RATE


def test_a_loop_of_the_package_hides_no_library(tmp_path: Path) -> None:
    """Beside it lie files with the names of libraries, such as lightning.py."""
    before = list(sys.path)
    import_loop(str(minimal.__file__))
    assert before == sys.path
    import_loop(str(written(tmp_path, LOOP)))
    assert [str(tmp_path), *before] == sys.path


def test_what_does_not_lie_beside_it_is_missed_with_its_line(tmp_path: Path) -> None:
    """Control: the error names the import."""
    path = written(tmp_path, f"\nimport lies_beside_nothing\n{LOOP}")
    line = rf"No module named 'lies_beside_nothing' \({path}:2\)\): correct it"
    with pytest.raises(SpecError, match=line):
        import_loop(str(path))


def test_a_loop_may_hold_a_dataclass(tmp_path: Path) -> None:
    """Python looks its module up by name."""
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += f"@dataclass\nclass State:\n    step: int = 0\n{LOOP}"
    assert 0 == import_loop(str(written(tmp_path, text))).State().step


def test_a_file_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    """As a script does that parses its arguments."""
    path = written(tmp_path, f"raise SystemExit(4)\n{LOOP}")
    with pytest.raises(SpecError, match=r"SystemExit: 4 \(.*mine\.py:1\)"):
        import_loop(str(path))


def test_a_wrapped_function_is_checked_after_its_import(tmp_path: Path) -> None:
    """A decorator decides what it takes, so its text is not enough."""
    text = "import functools\n@functools.cache\ndef train(workload): ...\n"
    path = written(tmp_path, text)
    with pytest.raises(SpecError, match=r"mine\.py:2: train\(workload\)\): write def train"):
        import_loop(str(path))


def test_an_error_in_a_library_names_the_users_line(tmp_path: Path) -> None:
    """The innermost frame outside of Python, torch and the harness."""
    text = "import torch\n\n\ndef multiply(a):\n    return torch.ones(3) @ a\n"
    module = import_file(written(tmp_path, text), "task")
    with pytest.raises(RuntimeError) as caught:
        module.multiply(torch.ones(2))
    assert f"{tmp_path}/mine.py:5" == place(caught.value)
    assert reason(caught.value).endswith(f"({tmp_path}/mine.py:5)")
    assert reason(caught.value).startswith("RuntimeError: ")


def test_an_error_outside_the_users_code_has_no_place() -> None:
    """Control: a line of a library is not the user's."""
    error = RuntimeError("no frame")
    assert ("", "RuntimeError: no frame") == (place(error), reason(error))
    assert "ValueError" == reason(ValueError())
    assert "a rule (met 1): do 2" == reason(SpecError("a rule", 1, "do 2"))
