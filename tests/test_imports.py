"""What may import what: the contracts in `pyproject.toml`, and what the command line loads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SLOW = ("accelerate", "datasets", "evaluate", "pandas", "sklearn", "torch", "transformers")


def broken_contracts(tree: Path) -> list[str]:
    """Names of the contracts that the package in `tree` breaks."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.startswith("Contracts: ") for line in lines), done.stdout + done.stderr
    return [line.split(" BROKEN")[0] for line in lines if " BROKEN" in line]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and of its contracts, free to be spoiled."""
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept(tree: Path) -> None:
    """The copy is as the package is, and `make lint` runs the same program."""
    assert [] == broken_contracts(tree)


@pytest.mark.parametrize(
    ("module", "planted", "contract"),
    [
        (
            "spec/recipe",
            "def late() -> None:\n    import harness.cli.main\n",
            "Rooms, highest first; imports go only downward",
        ),
        ("attic", "", "Rooms, highest first; imports go only downward"),
        (
            "report/escape",
            "from harness.report import write\n",
            "No circle of modules inside a room",
        ),
        (
            "training/loops/plain",
            "import accelerate\n",
            "The oracle and the minimal loop stand on torch alone",
        ),
        (
            "training/loops/minimal",
            "import accelerate\n",
            "The oracle and the minimal loop stand on torch alone",
        ),
        (
            "training/loops/_plain/loss",
            "import transformers\n",
            "The oracle and the minimal loop stand on torch alone",
        ),
        (
            "results/record",
            "def late() -> None:\n    import torch.nn\n",
            "Torch only where models are trained or watched",
        ),
    ],
)
def test_a_planted_import_breaks_its_contract(
    module: str, planted: str, contract: str, tree: Path
) -> None:
    """Control: each contract fails for one import that it forbids, also within a function."""
    path = tree / "harness" / f"{module}.py"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n\n{planted}", encoding="utf-8")
    assert [contract] == broken_contracts(tree)


def slow_modules_after(code: str) -> set[str]:
    """Which slow libraries a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys\nprint(*(name for name in {SLOW} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("door", ["harness", "harness.api", "harness.cli.main"])
def test_a_door_loads_no_slow_library(door: str) -> None:
    """Importing a door loads neither torch nor pandas, so that it answers at once."""
    assert set() == slow_modules_after(f"import {door}")


def test_a_slow_library_is_noticed() -> None:
    """Control: one that is loaded shows."""
    fake = "import sys, types; sys.modules['torch'] = types.ModuleType('torch')"
    assert {"torch"} == slow_modules_after(fake)
