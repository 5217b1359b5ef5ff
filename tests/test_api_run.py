"""`harness.run` from Python: the report comes back, and wrong use leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import SpecError
from harness.results.report import Report
from tests.support.small_runs import write_pairs


def loaded_by(code: str) -> str:
    """Which of some libraries a fresh interpreter holds after `code`."""
    names = ["pydantic", "rich", "scipy", "torch"]
    script = f"{code}\nimport sys\nprint(*(name for name in {names} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_the_package_is_free_until_it_is_asked() -> None:
    """Importing it loads nothing; naming `run` loads what the command line needs, and no torch."""
    assert "" == loaded_by("import harness")
    assert "pydantic rich" == loaded_by("from harness import run")


def test_dir_shows_what_a_user_may_call() -> None:
    """The public names, each of which is there; a submodule, for control, is not shown."""
    assert sorted(harness.__all__) == dir(harness)
    assert all(hasattr(harness, name) for name in dir(harness))
    assert "version" not in dir(harness)
    assert issubclass(harness.SpecError, harness.HarnessError)


def test_there_is_no_other_name() -> None:
    """Control: what the package does not have is missing in the usual way."""
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        harness.rum  # type: ignore[attr-defined]  # noqa: B018  # it is asked for on purpose


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"case": "paraphrse"}, "did you mean 'paraphrase'"),
        ({"loops": ["trainr"]}, "did you mean 'trainer'"),
        ({"loops": "trainr"}, "did you mean 'trainer'"),
        ({"loops": []}, "a run needs a loop"),
        ({"conventions": "nativ"}, "did you mean 'native'"),
        ({"device": "cdua"}, "did you mean 'cuda'"),
        ({"devices": ["cpu"]}, "two different devices"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"learning_rte": 1}, "did you mean 'learning_rate'"),
        ({"seeds": 1}, "2 or more"),
        ({"margins": {"accuracy": 0.1}}, "margins= applies to several seeds"),
        ({"seeds": 2, "margins": {"acuracy": 0.1}}, "did you mean 'accuracy'"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: str
) -> None:
    """The same words as on the command line, as an error."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=said) as caught:
        harness.run(**asked)
    assert "\n" not in str(caught.value)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_gives_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the report of the folder, says how to repeat it, and prints nothing."""
    data = write_pairs(tmp_path / "data")
    out = tmp_path / "out"
    report = harness.run(
        loops=["plain", "plain"], out=out, data=str(data), max_steps=2, max_grad_norm=None
    )

    assert "equivalent" == report.verdict
    assert out == report.folder
    stored = Report.read(out)
    assert stored.comparisons == report.comparisons
    assert None is stored.folder
    assert ("", "") == capsys.readouterr()
    typed = " ".join(report.command)
    assert typed.startswith(f"harness run paraphrase --set data={data} ")
    assert typed.endswith(
        f"--set max_steps=2 --set max_grad_norm=none --loops plain,plain --out {out}"
    )
