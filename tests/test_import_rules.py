"""The house's two rules: only starred rooms import torch, and imports go only downward."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

HEAVY = {"torch", "transformers", "accelerate", "datasets", "evaluate"}
STARRED = (
    "harness.benchmark.child.main",
    "harness.benchmark.child.turn_gate",
    "harness.benchmark.child.meters",
    "harness.benchmark.child.yardstick",
    "harness.tracing.observations",
    "harness.training.devices",
    "harness.execution.child.metadata",
    "harness.tracing.digest",
    "harness.training.hub",
    "harness.tracing.settings",
    "harness.training.loops",
    "harness.training.metrics",
    "harness.training.apply_recipe",
    "harness.execution.child.listener",
    "harness.training.pretrained",
    "harness.training.data_files",
    "harness.training.workloads._sentence_pairs",
    "harness.tracing.module_probe",
    "harness.tracing.module_values",
    "harness.tracing.module_hooks",
    "harness.training.perturbation",
    "harness.tracing.probe",
    "harness.execution.child.process_group",
    "harness.training.seeding",
    "harness.tracing.sketch",
    "harness.tracing.tensors",
    "harness.training.synthetic.pair_reader",
    "harness.training.synthetic.pretrain",
    "harness.tracing.hooks",
    "harness.tracing.device_digest",
    "harness.execution.child.main",
    "harness.training.workload",
    "harness.training.workloads",
)
# Lowest first; a name covers what is inside it. A new module must be given its floor here.
FLOORS = (
    (
        "harness.results.benchmark",
        "harness.results.regression",
        "harness.benchmark.schedule",
        "harness.results.arrow",
        "harness.errors",
        "harness.tracing.reader",
        "harness.units",
        "harness.results.upgrade",
        "harness.version",
    ),
    (
        "harness.execution.environments.interpreter",
        "harness.execution.environments.requirements",
        "harness.results.divergence",
    ),
    ("harness.execution.environments.venv",),
    ("harness.spec.recipe", "harness.results.schema"),
    ("harness.results.header",),
    ("harness.spec.registry", "harness.results.record", "harness.tracing.device_digest"),
    ("harness.execution.checkpoints",),
    (
        "harness.training.pretrained",
        "harness.training.data_files",
        "harness.training.devices",
        "harness.execution.child.metadata",
        "harness.tracing.digest",
        "harness.training.hub",
        "harness.results.levels",
        "harness.training.metrics",
        "harness.results.metrics",
        "harness.results.noise",
        "harness.execution.nodes",
        "harness.training.perturbation",
        "harness.execution.child.process_group",
        "harness.results.ranks",
        "harness.training.seeding",
        "harness.tracing.sketch",
        "harness.stats",
        "harness.training.synthetic",
        "harness.training.workload",
    ),
    (
        "harness.training.apply_recipe",
        "harness.tracing.observations",
        "harness.tracing.settings",
        "harness.tracing.tensors",
        "harness.tracing.hooks",
    ),
    (
        "harness.tracing.module_probe",
        "harness.tracing.module_values",
        "harness.tracing.module_hooks",
        "harness.training.workloads._sentence_pairs",
        "harness.tracing.probe",
    ),
    ("harness.training.loops", "harness.training.workloads"),
    (
        "harness.comparison.alignment",
        "harness.comparison.noise.series",
        "harness.comparison.describe",
        "harness.results.settings",
        "harness.comparison.soundness",
    ),
    ("harness.comparison.batches", "harness.comparison.tensors"),
    ("harness.comparison.stages",),
    ("harness.comparison.causes", "harness.comparison.modules"),
    ("harness.comparison.compare", "harness.comparison.noise.mean_shift"),
    ("harness.results.sessions", "harness.benchmark.intervals"),
    ("harness.benchmark.verdicts",),
    ("harness.comparison.noise.envelope",),
    ("harness.comparison.noise.verdict",),
    ("harness.comparison.noise.judge",),
    (
        "harness.spec.expand",
        "harness.comparison.variants",
        "harness.benchmark",
        "harness.regression",
        "harness.regression.baseline",
        "harness.diagnosis.localize",
        "harness.execution.parent.failures",
        "harness.execution.parent.follower",
        "harness.diagnosis.explain",
        "harness.results.folders",
        "harness.diagnosis.search",
        "harness.execution.parent.plan",
        "harness.execution.parent.progress",
        "harness.report.index",
        "harness.report.publish",
        "harness.diagnosis.replay",
        "harness.diagnosis.windows",
        "harness.report",
        "harness.execution.parent.runner",
        "harness.comparison.seeds",
        "harness.execution.entry",
        "harness.spec.suites",
        "harness.comparison.run",
        "harness.upgrade",
        "harness.execution.child.listener",
        "harness.execution.child.main",
        "harness.execution.parent.process",
    ),
    ("harness.api",),
    ("harness.cli",),
    ("harness", "harness.__main__", "harness.cli.main", "harness.pytest_plugin"),
)


def covers(name: str, module: str) -> bool:
    return module == name or (name != "harness" and module.startswith(f"{name}."))


def starred(module: str) -> bool:
    return any(covers(name, module) for name in STARRED)


def floor(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if any(covers(name, module) for name in names):
            return number
    raise AssertionError(f"{module} has no floor: give it one in FLOORS")


def modules(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """All nodes below `node`; function bodies only where asked for."""
    for child in ast.iter_child_nodes(node):
        if not inside_functions and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield child
        yield from statements(child, inside_functions)


def imports(path: Path, known: dict[str, Path], inside_functions: bool) -> set[str]:
    """Dotted names that a file imports; `from package import module` names the module."""
    found: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")), inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports here are absolute"
            whole = str(node.module)
            inner = {f"{whole}.{alias.name}" for alias in node.names} & known.keys()
            found |= inner or {whole}
    return found


def heavy_imports(known: dict[str, Path]) -> dict[str, set[str]]:
    """Heavy libraries that a room without a star imports, anywhere in its file."""
    found = {
        name: {one.split(".")[0] for one in imports(path, known, True)} & HEAVY
        for name, path in known.items()
        if not starred(name)
    }
    return {name: heavy for name, heavy in found.items() if heavy}


def paths_to_starred(known: dict[str, Path]) -> dict[str, str]:
    """Rooms without a star that import a starred one when they are imported, and which."""
    return {
        name: other
        for name, path in known.items()
        if not starred(name)
        for other in imports(path, known, False)
        if starred(other)
    }


def upward_imports(known: dict[str, Path]) -> set[tuple[str, str]]:
    """Pairs of a module and one on a higher floor that it imports, anywhere in its file."""
    return {
        (name, other)
        for name, path in known.items()
        for other in imports(path, known, True)
        if other in known and floor(other) > floor(name)
    }


@pytest.fixture(scope="module")
def house() -> dict[str, Path]:
    return modules(Path(harness.__file__).parent)


@pytest.fixture
def shed(tmp_path: Path) -> dict[str, Path]:
    """A tree that breaks each rule once, and keeps them elsewhere."""
    files = {
        "harness/__init__.py": "",
        "harness/errors.py": "def late():\n    from harness import compare\n",
        "harness/record.py": "import json\nimport torch.nn as nn\n",
        "harness/compare.py": "from harness import record\nif True:\n    import harness.probe\n",
        "harness/cli.py": "from harness import compare\n\ndef late():\n    import harness.probe\n",
        "harness/probe.py": "import torch\nfrom harness.record import nn\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return modules(tmp_path / "harness")


def test_every_module_is_found_and_has_a_floor(house: dict[str, Path]) -> None:
    """The walk sees the whole house, and each room stands on a floor."""
    assert {
        "harness.cli.main",
        "harness.results.report",
        "harness.training.loops.plain",
    } <= house.keys()
    assert all(floor(name) >= 0 for name in house)
    with pytest.raises(AssertionError, match=r"harness\.attic has no floor"):
        floor("harness.attic")


def test_only_starred_rooms_import_heavy_libraries(house: dict[str, Path]) -> None:
    """Nothing but a starred room names torch and its like, not even within a function."""
    assert {} == heavy_imports(house)


def test_a_heavy_import_is_caught(shed: dict[str, Path]) -> None:
    """Control: an import of torch's submodule in a room without a star is seen, and only that."""
    assert {"harness.results.record": {"torch"}} == heavy_imports(shed)


def test_rooms_without_a_star_do_not_import_starred_ones(house: dict[str, Path]) -> None:
    """Importing a room without a star never reaches a starred one: none takes the first step."""
    assert {} == paths_to_starred(house)


def test_a_path_to_a_starred_room_is_caught(shed: dict[str, Path]) -> None:
    """Control: a starred room imported under an `if` is seen; within a function it is allowed."""
    assert {"harness.comparison.compare": "harness.tracing.probe"} == paths_to_starred(shed)


def test_imports_go_only_downward(house: dict[str, Path]) -> None:
    """No module imports one that stands on a higher floor."""
    assert set() == upward_imports(house)


def test_an_upward_import_is_caught(shed: dict[str, Path]) -> None:
    """Control: an upward import is seen also within a function."""
    assert {("harness.errors", "harness.comparison.compare")} == upward_imports(shed)


def test_plain_imports_neither_accelerate_nor_transformers(house: dict[str, Path]) -> None:
    """The oracle stands on torch alone; its neighbours, for control, do not."""
    foreign = {"accelerate", "transformers"}
    named = {
        name: {
            one.split(".")[0]
            for one in imports(house[f"harness.training.loops.{name}"], house, True)
        }
        for name in ("plain", "accelerated", "trainer")
    }

    assert set() == named["plain"] & foreign
    assert "torch" in named["plain"]
    assert "accelerate" in named["accelerated"]
    assert "transformers" in named["trainer"]


def modules_after(code: str) -> set[str]:
    """Which of some slow libraries a fresh interpreter holds after running `code`."""
    slow = [*sorted(HEAVY), "pandas", "sklearn"]
    script = f"{code}\nimport sys\nprint(*(name for name in {slow} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_the_command_line_leaves_slow_libraries_alone() -> None:
    """Importing the door loads neither torch nor pandas, so that it answers at once."""
    assert set() == modules_after("import harness.cli")


def test_a_slow_library_is_noticed() -> None:
    """Control: one that is loaded shows."""
    fake = "import sys, types; sys.modules['torch'] = types.ModuleType('torch')"

    assert {"torch"} == modules_after(fake)
