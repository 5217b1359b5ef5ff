"""`harness init` writes files that work as they are, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.answers import Ask
from tests.support.command import harness

SMALL = ("--set", "max_steps=6", "--out", "out")


@pytest.mark.parametrize("kind", ["loop", "task", "case"])
def test_a_starter_is_written_once(ask: Ask, kind: str) -> None:
    """Under its usual name, with the next command; a file that exists is kept."""
    made = ask("init", kind)
    (path,) = Path.cwd().iterdir()
    assert (0, f"my_{kind}") == (made.code, path.stem)
    assert f"Wrote {path.name}. Next:" in made.out
    assert "harness run " in made.out
    path.write_text("mine", encoding="utf-8")
    again = ask("init", kind)
    assert (2, "mine") == (again.code, path.read_text(encoding="utf-8"))
    assert f"{path.name}, which exists" in again.err


def test_a_starter_may_have_another_name(ask: Ask) -> None:
    """Its text then shows this name."""
    assert 0 == ask("init", "loop", "fast.py").code
    assert "harness run --loops plain,fast.py" in Path("fast.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lop"], "did you mean 'loop'?"),
        (["case", "mine.py"], "a case is a file that ends in .toml (met mine.py)"),
        (["task", "nowhere/mine.py"], "the file must be writable"),
    ],
)
def test_wrong_use_is_one_line(ask: Ask, arguments: list[str], said: str) -> None:
    """Nothing is written."""
    answer = ask("init", *arguments)
    assert (2, []) == (answer.code, [*Path.cwd().iterdir()])
    assert said in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loop", "task", "case"])
def test_a_starter_is_identical_with_the_reference(kind: str, tmp_path: Path) -> None:
    """As it is; with one change, for control, it is not."""
    suffix = "toml" if kind == "case" else "py"
    assert 0 == harness("init", kind, f"mine.{suffix}", cwd=tmp_path).returncode
    words = ["mine.toml" if kind == "case" else "mine.py", "--loops", "plain,trainer"]
    if kind == "loop":
        text = (tmp_path / "mine.py").read_text(encoding="utf-8")
        changed = text.replace("recipe.seed + epoch", "recipe.seed")
        assert changed != text
        (tmp_path / "changed.py").write_text(changed, encoding="utf-8")
        words = ["--loops", "plain,mine.py,changed.py", "--set", "train_rows=20"]
        words += ["--set", "eval_rows=8"]
    done = harness("run", *words, *SMALL, cwd=tmp_path)
    assert (1 if kind == "loop" else 0) == done.returncode, done.stdout + done.stderr
    pairs = json.loads((tmp_path / "out/report.json").read_text())["comparisons"]
    assert "identical" == pairs[0]["outcome"]
    if kind == "loop":
        first = pairs[1]["first_divergence"]
        assert (4, "data_order") == (first["step"], first["stage"])
