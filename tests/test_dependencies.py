"""Every import of the package is declared in `pyproject.toml`, under the extra that needs it."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.execution.environments.interpreter import NEEDED
from tests.support.fake_packages import NAME

ROOT = Path(__file__).parents[1]
TRAINS = (
    "api/trace.py",
    "benchmark/child",
    "callbacks",
    "execution/child",
    "execution/command/child.py",
    "tracing",
    "training",
)
"""Rooms that run only in processes that train: what they import may stand in `[train]`."""
OPTIONAL = {
    "lightning": "lightning",
    "pandas": "train",
    "pynvml": "gpu",
    "pytest": "bench",
    "ruptures": "history",
    "submitit": "slurm",
    "triton": "gpu",
}
"""Modules that the code imports only where they are installed, and their extras."""
UNINSTALLED = {"pynvml": "nvidia-ml-py", "triton": "triton"}
"""Distributions of modules that `make install` does not install."""

DISTRIBUTIONS = packages_distributions()


def declared() -> dict[str, set[str]]:
    """Names of the declared distributions, by extra; the core is `core`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"core": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: {canonicalize_name(Requirement(text).name) for text in texts}
        for extra, texts in lists.items()
    }


def imported_modules(package: Path) -> dict[str, set[str]]:
    """By module of others, at its top level, the files of `package` that import it."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != package.name:
                    found.setdefault(top, set()).add(path.relative_to(package).as_posix())
    return found


def undeclared_imports(package: Path, lists: Mapping[str, set[str]]) -> list[str]:
    """One line per import that no list, or only the wrong list, declares."""
    problems = []
    for module, files in imported_modules(package).items():
        names = [UNINSTALLED.get(module, ""), *DISTRIBUTIONS.get(module, ())]
        accepted = {canonicalize_name(name) for name in names if name}
        for file in sorted(files):
            extras = ["core"]
            if file.startswith(TRAINS):
                extras.append("train")
            if module in OPTIONAL:
                extras = [OPTIONAL[module]]
            if not any(accepted & lists[extra] for extra in extras):
                problems.append(f"{file}: {module}")
    return problems


def test_every_import_is_declared_under_its_extra() -> None:
    """Core modules import only core dependencies; modules that train may also use `[train]`."""
    assert [] == undeclared_imports(ROOT / "harness", declared())


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("report/planted.py", "import torch", "report/planted.py: torch"),
        ("training/planted.py", "import ruff.main", "training/planted.py: ruff"),
        ("cli/planted.py", "def f():\n    from nowhere import x", "cli/planted.py: nowhere"),
        ("regression/planted.py", "import pynvml", None),
        ("tracing/planted.py", "import torch.nn", None),
    ],
)
def test_a_planted_import_is_reported(
    file: str, line: str, expected: str | None, tmp_path: Path
) -> None:
    """Control: an undeclared import and one under the wrong extra are found; others are not."""
    path = tmp_path / "harness" / file
    path.parent.mkdir(parents=True)
    path.write_text(line, encoding="utf-8")
    problems = undeclared_imports(tmp_path / "harness", declared())
    assert ([] if expected is None else [expected]) == problems


def test_every_declared_dependency_is_imported() -> None:
    """The core and `[train]` name nothing that the package does not use."""
    lists = declared()
    used = {
        canonicalize_name(name)
        for module in imported_modules(ROOT / "harness")
        for name in DISTRIBUTIONS.get(module, ())
    }
    assert set() == (lists["core"] | lists["train"]) - used


@pytest.mark.parametrize("folder", ["benchmarks", "studies", "tests"])
def test_the_extra_dev_holds_what_tests_import(folder: str) -> None:
    """`dev` includes the other extras, so every import of a test is declared in some list."""
    lists = declared()
    assert {"bench", "history", "lightning", "slurm", "train"} == Requirement(
        dev_requirements()[0]
    ).extras
    names = set().union(*lists.values())
    own = {"benchmarks", "docs", "harness", "studies", "tests", NAME}
    undeclared = [
        f"{file}: {module}"
        for module, files in imported_modules(ROOT / folder).items()
        for file in sorted(files)
        if module not in own
        and not names & {canonicalize_name(name) for name in DISTRIBUTIONS.get(module, ())}
    ]
    assert [] == undeclared


def dev_requirements() -> list[str]:
    """The requirements of the extra `dev`, as they stand in the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements: list[str] = project["optional-dependencies"]["dev"]
    return requirements


def test_an_interpreter_is_asked_for_what_a_training_process_imports() -> None:
    """`NEEDED` holds all of `[train]`, and otherwise only core names.

    Its lower bounds are those of `pyproject.toml`. It has fewer: an upgrade may compare with an
    older release of accelerate than the one that an installation gets.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core, train = (
        {canonicalize_name(found.name): found for found in map(Requirement, texts)}
        for texts in (project["dependencies"], project["optional-dependencies"]["train"])
    )
    assert train.keys() == NEEDED.keys() - core.keys()
    for name, oldest in NEEDED.items():
        requirement = {**core, **train}[canonicalize_name(name)]
        bounds = {s.version for s in requirement.specifier if s.operator == ">="}
        assert not oldest or bounds == {oldest}, name
