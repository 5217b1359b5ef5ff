"""A file of the user's is read and never run: what it lacks is answered with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.spec.source import literal_defaults, read_source, require_function

FORM = "train(workload, recipe, probe)"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    """The one line with which a loop file is refused."""
    with pytest.raises(SpecError) as caught:
        require_function(read_source(path), "train", FORM, "add it")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "def train(workload, recipe, probe): ...",
        "def train(workload, recipe, probe, more=1, *, seed=2): ...",
        "def train(*arguments): ...",
        "import loops\ntrain = loops.mine",
        "from loops import mine as train",
        "from loops import *",
        "try:\n    from fast import train\nexcept ImportError:\n    from slow import train",
        "if True:\n    def train(workload, recipe, probe): ...",
        "from functools import cache\n@cache\ndef train(anything): ...",
    ],
)
def test_a_file_that_has_the_function_is_accepted(tmp_path: Path, text: str) -> None:
    """It may also be imported or assigned; nothing is executed to find out."""
    require_function(read_source(written(tmp_path, f"{text}\n")), "train", FORM, "add it")


@pytest.mark.parametrize(
    "text",
    ["x = 1", "class Loop:\n    def train(self, a, b): ...", "def main():\n    train = 1"],
)
def test_a_file_without_the_function_is_refused(tmp_path: Path, text: str) -> None:
    """A method or a local name is no function of the module."""
    path = written(tmp_path, f"{text}\n")
    assert f"a loop is a file with a function {FORM} (met {path}): add it" == refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        "import torch\nprint(torch.ones(1))",
        "from transformers import Trainer",
        "import model\nloss = model.run()\nloss.backward()",
    ],
)
def test_a_training_script_is_sent_to_trace(tmp_path: Path, text: str) -> None:
    """It needs no function to be traced."""
    line = refusal(written(tmp_path, f"{text}\n"))
    assert line.endswith("a training script is traced as it is: harness trace -- python mine.py")


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("\ndef train(workload, recipe): ...", "2: train(workload, recipe)"),
        ("def train(w, r, p, extra): ...", "1: train(w, r, p, extra)"),
        ("def train(w, r, p, *, extra): ...", "1: train(w, r, p, *, extra)"),
        ("async def train(w, r, p): ...", "1: train(w, r, p), async"),
    ],
)
def test_another_signature_is_refused_with_its_line(tmp_path: Path, text: str, met: str) -> None:
    """File, line and the arguments that are there."""
    path = written(tmp_path, f"{text}\n")
    assert f"(met {path}:{met})" in refusal(path)


def test_a_refused_file_is_not_executed(tmp_path: Path) -> None:
    """Nor is one that is accepted: only its text is read."""
    mark = tmp_path / "mark"
    lines = f"open({str(mark)!r}, 'w').close()\n"
    refusal(written(tmp_path, lines))
    path = written(tmp_path, f"{lines}def train(w, r, p): ...\n")
    require_function(read_source(path), "train", FORM, "add it")
    assert not mark.exists()


def test_the_arguments_of_a_function_are_options_with_their_defaults(tmp_path: Path) -> None:
    """Literal ones, by position or by keyword."""
    text = "def task(rows=64, /, rate=1e-3, *, shuffle=True, data=None, name='x'): ...\n"
    path = written(tmp_path, text)
    function = read_source(path).function("task")
    assert function is not None
    expected: dict[str, Any] = {"rows": 64, "rate": 1e-3, "shuffle": True}
    assert {**expected, "data": None, "name": "x"} == literal_defaults(function, path)


def test_a_default_that_is_no_literal_is_refused(tmp_path: Path) -> None:
    """With its line."""
    path = written(tmp_path, "def task(\n    rows=64,\n    size=rows_of(3),\n): ...\n")
    function = read_source(path).function("task")
    assert function is not None
    with pytest.raises(SpecError, match=r"mine\.py:3: size\): write the value itself"):
        literal_defaults(function, path)
