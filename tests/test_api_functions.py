"""A Python function as a loop: how it reaches the process that trains, and what is refused."""

from __future__ import annotations

import functools
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import harness
from harness.api.function_loops import loop_names
from harness.errors import SpecError
from harness.execution.child.user_code import import_loop
from tests.support.small_runs import write_pairs

RATE = 0.25


def as_plain(workload: Any, recipe: Any, probe: Any) -> Any:
    """The plain loop."""
    from harness.training.loops import plain

    return plain.train(workload, recipe, probe)


def too_fast(workload: Any, recipe: Any, probe: Any) -> Any:
    """The plain loop at twice the rate: a planted fault."""
    faster = recipe.model_copy(update={"learning_rate": 2 * recipe.learning_rate})
    return as_plain(workload, faster, probe)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Notebook:
    """Cells that run as those of a notebook: their source is known, their module is `__main__`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._module = ModuleType("__main__")
        self._cells = 0
        monkeypatch.setitem(sys.modules, "__main__", self._module)

    def run(self, source: str) -> None:
        """Run a cell."""
        self._cells += 1
        name = f"<cell {self._cells} of {id(self)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec", dont_inherit=True), self._module.__dict__)  # noqa: S102  # our source

    def __getitem__(self, name: str) -> Any:
        return getattr(self._module, name)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A notebook without cells."""
    return Notebook(monkeypatch)


def there(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the process that trains gets it."""
    (path,) = loop_names(function)
    train: Callable[..., Any] = import_loop(path).train
    return train


@pytest.mark.slow
def test_a_function_is_a_loop_and_its_fault_is_found(tmp_path: Path) -> None:
    """Labelled by its name; equal to plain if it is plain, different at the rate if it is not."""
    report = harness.run(
        loops=["plain", as_plain, too_fast],
        out=tmp_path / "out",
        data=str(write_pairs(tmp_path / "data")),
        max_steps=2,
    )
    found = {(c.reference, c.candidate): c for c in report.comparisons}
    assert "identical" == found["plain", "as_plain"].outcome
    faulty = found["plain", "too_fast"]
    assert "different" == faulty.outcome
    assert faulty.first_divergence is not None
    assert "learning_rate" == faulty.first_divergence.stage
    assert ["plain", "as_plain", "too_fast"] == list(report.records)


def test_a_function_of_a_file_is_imported_by_its_name() -> None:
    """From that file, with what stands beside it; nothing of it is copied."""
    (path,) = loop_names([as_plain])
    assert "as_plain.py" == Path(path).name
    assert "plain.train" not in Path(path).read_text(encoding="utf-8")
    assert as_plain.__code__.co_code == there(as_plain).__code__.co_code


def test_the_train_of_a_file_is_the_loop_in_that_file() -> None:
    """As if its path had been passed."""
    from harness.training.loops import minimal

    path = Path(str(minimal.__file__))
    module = import_loop(str(path))
    assert [str(path)] == loop_names(module.train)


def test_a_function_of_a_notebook_takes_along_what_it_uses(notebook: Notebook) -> None:
    """Imports, constants and other functions, as they are when the run begins."""
    notebook.run(
        "import math\nfrom pathlib import Path as P\nRATES = {'slow': [0.5, None]}\nK = 2\n"
    )
    notebook.run("def half(x: 'Unknown') -> float:\n    return math.floor(x) * RATES['slow'][0]\n")
    notebook.run("def mine(workload, recipe, probe: P):\n    return half(workload) * K, P('a')\n")
    notebook.run("K = 3\n")
    assert (6.0, Path("a")) == there(notebook["mine"])(4.5, None, None)
    assert "mine.py" == Path(loop_names(notebook["mine"])[0]).name


def test_a_function_defined_inside_another_is_copied_too() -> None:
    """If it is no closure: its module cannot be asked for it."""

    def inner(workload: Any, recipe: Any, probe: Any) -> float:
        return RATE

    assert 0.25 == there(inner)(None, None, None)


@pytest.mark.parametrize(
    ("cells", "met"),
    [
        (["mine = lambda w, r, p: None"], "a lambda"),
        (["def mine(w, r): pass"], r"mine\(w, r\)"),
        (["import torch", "m = torch.zeros(1)", "def mine(w, r, p): return m"], "a Tensor, m"),
        (["class M: pass", "def mine(w, r, p): return M()"], "the class M"),
        (["def mine(w, r, p): return nothing"], "nothing, which is not defined"),
        (["n = 0", "def mine(w, r, p):\n    global n\n    n = n + 1"], "changes the global n"),
        (["K = [1]", "def mine(w, r, p, k=K): return k"], "a default that is no constant"),
        (["K = float('nan')", "def mine(w, r, p): return K"], "a float, K"),
        (["def a(x):\n    def mine(w, r, p): return x\n    return mine", "mine = a(1)"], "over x"),
        (["def f(x): return z", "def mine(w, r, p): return f(w)"], "f uses z"),
    ],
)
def test_what_exists_only_here_is_refused_in_one_line(
    notebook: Notebook, cells: list[str], met: str
) -> None:
    """With the name, and the remedy: a file."""
    for cell in cells:
        notebook.run(cell + "\n")
    with pytest.raises(SpecError, match=met) as caught:
        loop_names([notebook["mine"]])
    assert "\n" not in str(caught.value)


def test_a_source_that_was_changed_is_refused(notebook: Notebook) -> None:
    """What is trained would not be the function that was passed."""
    notebook.run("def mine(workload, recipe, probe):\n    return 1\n")
    name = notebook["mine"].__code__.co_filename
    assert 1 == there(notebook["mine"])(None, None, None)
    changed = "def mine(workload, recipe, probe):\n    return 2\n"
    linecache.cache[name] = (len(changed), None, changed.splitlines(keepends=True), name)
    with pytest.raises(SpecError, match="the source of mine is not known"):
        loop_names(notebook["mine"])


def test_what_is_no_function_is_refused() -> None:
    """A partial function holds values that cannot be written down."""
    with pytest.raises(SpecError, match="a value of type partial"):
        loop_names(functools.partial(as_plain))
    with pytest.raises(SpecError, match="a value of type int"):
        loop_names([3])  # type: ignore[list-item]  # on purpose
