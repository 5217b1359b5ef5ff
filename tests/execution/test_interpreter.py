"""What an interpreter has: asked, refused, held against another, named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.errors import SpecError
from harness.execution.environments.interpreter import (
    NEEDED,
    Libraries,
    ask,
    differing,
    linked_package,
    names_of,
)
from harness.spec.case import slug

ALL = dict.fromkeys(NEEDED, "99")
PACKAGES = {"torch": "2.13.0+cpu", "transformers": "5.23.0", "rich": "14.0"}


def side(path: str | None = None, asked: tuple[str, ...] = (), **versions: str) -> Libraries:
    return Libraries(path, {"python": "3.11.9", **PACKAGES, **versions}, asked)


def interpreter(folder: Path, said: str, code: int = 0) -> Path:
    """A program that answers so, whatever it is asked."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_this_interpreter_tells_what_it_has() -> None:
    """Also when asked as another one, from outside."""
    here, there = ask(None), ask(sys.executable)
    assert (None, sys.executable) == (here.python, there.python)
    assert here.versions == there.versions
    assert set(NEEDED) < set(here.versions)


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ("hello", 0, "takes an interpreter"),
        ("{}", 0, "takes an interpreter"),
        ("unknown option -P", 2, "takes an interpreter"),
        (json.dumps({"python": "3.12.1", "packages": {}}), 0, "torch is missing.*install there"),
        (
            json.dumps(
                {
                    "python": "3.12.1",
                    "packages": {**dict.fromkeys(NEEDED, "99")} | {"transformers": "4.56.2"},
                }
            ),
            0,
            "transformers 4.56.2 is too old",
        ),
        (
            json.dumps({"python": "3.10.1", "packages": ALL}),
            0,
            "python 3.10.1 is too old",
        ),
    ],
)
def test_one_that_cannot_train_is_refused_in_a_line(
    tmp_path: Path, said: str, code: int, message: str
) -> None:
    """With what is missing there, and what to install."""
    with pytest.raises(SpecError, match=message) as caught:
        ask(str(interpreter(tmp_path, said, code)))
    assert "\n" not in str(caught.value)


def test_one_that_has_all_is_taken(tmp_path: Path) -> None:
    """The planted faults above are what makes the difference."""
    said = json.dumps({"python": "3.12.1", "packages": ALL})
    assert "99" == ask(str(interpreter(tmp_path, said))).versions["torch"]


@pytest.mark.slow
def test_what_is_needed_is_what_a_training_process_imports() -> None:
    """No more and no less: whatever a file of this package names that such a process has read.

    What only an extra brings is left out.
    """
    code = """
import ast, importlib, importlib.metadata, pathlib, sys
import harness.execution.child.main, harness.benchmark.child.main
from harness.spec import registry
for kind, names in (("loops", registry.loops()), ("workloads", registry.workloads())):
    for name in names:
        importlib.import_module(f"harness.training.{kind}.{name}")
direct = set()
files = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "harness"]
for file in files:
    for node in ast.walk(ast.parse(pathlib.Path(file).read_text())):
        if isinstance(node, ast.Import):
            direct |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            direct.add(node.module.split(".")[0])
owners = importlib.metadata.packages_distributions()
found = {d.lower().replace("_", "-") for name in direct - {"harness"} for d in owners.get(name, ())}
print(*sorted(found))
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    parts_of_others = {"trainloop-harness", "pydantic-core"}
    extras = {"lightning"}  # only its two loops need it, and they say so
    assert set(NEEDED) == set(told) - parts_of_others - extras


def test_only_what_differs_is_told() -> None:
    """Also what one side does not have."""
    found = differing([side(), side(transformers="4.57.6", httpx="1.0")])
    assert {"httpx": (None, "1.0"), "transformers": ("5.23.0", "4.57.6")} == found
    assert {} == differing([side(), side()])


def test_sides_are_named_by_what_was_asked_for() -> None:
    """Else by what tells them apart; no path is in a name."""
    here, old = side(), side("/p", ("transformers",), transformers="4.57.6", rich="13")
    assert ["transformers 5.23.0", "transformers 4.57.6"] == names_of([here, old])
    foreign = side("/p", python="3.12.1", torch="2.11.0")
    assert ["python 3.11.9, torch 2.13.0+cpu", "python 3.12.1, torch 2.11.0"] == names_of(
        [here, foreign]
    )
    assert ["rich 14.0", "rich 13"] == names_of([here, side("/p", rich="13")])
    assert ["transformers 5.23.0", "transformers 5.23.0 (2)"] == names_of([here, side("/p")])


def test_a_name_is_fit_for_a_file() -> None:
    """Of letters, digits, dots and hyphens."""
    assert "torch-2.13.0-cpu-x-1" == slug("torch 2.13.0+cpu, x 1")


def test_another_interpreter_finds_this_package_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a folder that holds a link to it alone, made once."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    folder = linked_package()
    assert folder == linked_package()
    assert ["harness"] == os.listdir(folder)
    told = subprocess.run(
        [sys.executable, "-P", "-c", "import harness; print(harness.__file__)"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(folder / "harness" / "__init__.py") == told.stdout.strip()
    assert Path(harness.__file__).samefile(told.stdout.strip())
