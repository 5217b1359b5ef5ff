"""A task in a file is trained by every loop, from the command line and from a case file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.results.record import RunRecord
from harness.training.loops import minimal
from tests.support.command import harness

pytestmark = pytest.mark.slow

HEAD = """\
import torch
from torch import nn
from torch.utils.data import TensorDataset

GENERATOR = torch.Generator().manual_seed(0)
NUMBERS = torch.randn(40, 4, generator=GENERATOR)
"""
TASKS = {
    "tensors": """\
def task(hidden=8):
    model = nn.Sequential(nn.Linear(4, hidden), nn.Dropout(0.2), nn.Linear(hidden, 1))
    rows = TensorDataset(NUMBERS, NUMBERS.sum(dim=1, keepdim=True))
    return {"model": model, "data": rows, "loss": nn.functional.mse_loss, "metric": "regression"}
""",
    "own_loss": """\
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))

    def forward(self, x, y):
        logits = self.body(x)
        return logits, nn.functional.cross_entropy(logits, y)


def task():
    rows = TensorDataset(NUMBERS, NUMBERS.argmax(dim=1) % 3)
    return {"model": Pair(), "data": (rows, rows), "metric": "accuracy"}
""",
    "whole_batch": """\
class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 2)

    def forward(self, left, right):
        return self.map(left), self.map(right)


def distance(output, batch):
    return ((output[0] - output[1]) ** 2).mean() + batch["left"].mean()


def task():
    rows = [{"left": row, "right": -row} for row in NUMBERS]
    return {"model": Encoder(), "data": rows, "loss": distance}
""",
}


def written(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(f"{HEAD}\n\n{text}", encoding="utf-8")


def report_in(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_loops_train_tasks_of_any_form_alike(tmp_path: Path) -> None:
    """Tensors, and a model with a loss of its own; a fault, for control."""
    written(tmp_path, **{name: text for name, text in TASKS.items() if name != "whole_batch"})
    sound = Path(minimal.__file__).read_text(encoding="utf-8")
    line = "            optimizer.zero_grad()\n"
    assert 1 == sound.count(line)
    (tmp_path / "forgets.py").write_text(sound.replace(line, ""), encoding="utf-8")
    loops = "plain,accelerated,trainer,minimal,forgets.py"
    settings = ("--set", "eval_every=none", "--set", "max_steps=5", "--set", "learning_rate=0.01")
    names = ("tensors.py", "own_loss.py")
    done = harness("run", *names, "--loops", loops, *settings, "--out", "out", cwd=tmp_path)
    assert 1 == done.returncode, done.stdout + done.stderr
    report = report_in(tmp_path / "out")
    pairs = {(p["case"], p["reference"], p["candidate"]): p for p in report["comparisons"]}
    for case in ("tensors", "own_loss"):
        for candidate in ("accelerated", "trainer", "minimal"):
            found = pairs[case, "plain", candidate]
            assert ("identical", 5) == (found["outcome"], found["steps"]), found
        fault = pairs[case, "plain", "forgets"]["first_divergence"]
        assert (2, "gradients") == (fault["step"], fault["stage"])
    runs = {run["case"]: run for run in report["runs"]}
    assert {"mse", "mae", "r2", "loss"} == runs["tensors"]["final_metrics"].keys()
    assert {"accuracy", "loss"} == runs["own_loss"]["final_metrics"].keys()
    record = RunRecord(tmp_path / "out/records/tensors-plain")
    assert not record.header.warnings  # a regression has no class to collapse to
    rows = record.micro_batches["sample_ids"].to_pylist()
    assert 40 == len({number for batch in rows for number in batch if number >= 0})


def test_a_case_file_names_a_task_beside_it(tmp_path: Path) -> None:
    """From any folder, with its options; a loss may take the whole batch."""
    folder = tmp_path / "cases"
    folder.mkdir()
    written(folder, **TASKS)
    text = 'workload = "whole_batch.py"\n[recipe]\nmax_steps = 4\nlearning_rate = 0.01\n'
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    loops = ("--loops", "plain,accelerated,trainer")
    done = harness("run", "cases/mine.toml", *loops, "--out", "out", cwd=tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    spec = RunRecord(tmp_path / "out/records/mine-plain").run_spec
    assert ("cases/whole_batch.py", "mine") == (spec.case.workload, spec.case.name)

    (folder / "other.toml").write_text('workload = "tensors.py"\n[options]\nhiden = 3\n')
    done = harness("run", "cases/other.toml", cwd=tmp_path)
    assert (2, True) == (done.returncode, "did you mean 'hidden'?" in done.stderr)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def task():\n    return {}\n", "(met no model): add it"),
        ("def task():\n    return 1 / 0\n", "ZeroDivisionError: division by zero (mine.py:10)"),
        ("def task(rows):\n    ...\n", "mine.py:9: task(rows)): give each of its arguments"),
        ("def train(w, r, p):\n    ...\n", "add it to --loops: --loops plain,mine.py"),
        (
            "def task():\n    return {'model': nn.Linear(3, 1), 'data': [(torch.ones(4), 1.0)], "
            "'loss': nn.functional.mse_loss}\n",
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
        ),
    ],
)
def test_a_task_that_does_not_work_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    """Exit code 2, and no folder is left."""
    written(tmp_path, mine=text)
    done = harness("run", "mine.py", "--loops", "plain", cwd=tmp_path)
    assert (2, 1) == (done.returncode, len(done.stderr.strip().splitlines())), done.stderr
    assert said in done.stderr
    assert not [*tmp_path.glob("reports/*")]
