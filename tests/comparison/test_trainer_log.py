"""The real Trainer's own log, compared with what the probe recorded of the same training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.comparison.log_readings import RecordedRun
from harness.comparison.logs import compare_log
from harness.results.imported.read import read_log
from harness.results.record import RunRecord
from tests.support.logs import write_state

ROOT = Path(__file__).parents[2]
LOOP = """\
import os

import transformers

import harness.training.loops.trainer as stock


class Arguments(transformers.TrainingArguments):
    def __init__(self, **given):
        super().__init__(**{**given, "logging_strategy": "steps", "logging_steps": 3})


class LoggingTrainer(transformers.Trainer):
    def train(self, *args, **kwargs):
        result = super().train(*args, **kwargs)
        self.state.save_to_json(os.environ["STATE_FILE"])
        return result


def train(workload, recipe, probe):
    stock.TrainingArguments, stock.Trainer = Arguments, LoggingTrainer
    return stock.train(workload, recipe, probe)
"""
SETTINGS = {
    "max_steps": 8,
    "train_rows": 64,
    "eval_rows": 16,
    "gradient_accumulation_steps": 2,
    "eval_every": 4,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Trainer's `trainer_state.json` and the output folder `run`."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "logging_trainer.py").write_text(LOOP, encoding="utf-8")
    settings = [word for item in SETTINGS.items() for word in ("--set", "{}={}".format(*item))]
    loops = ["--loops", "logging_trainer.py,plain", "--out", "run"]
    subprocess.run(
        [sys.executable, "-m", "harness", "run", "paraphrase", *loops, *settings],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STATE_FILE": str(folder / "trainer_state.json"),
        },
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["logging_trainer", "plain"])
def test_the_log_of_the_trainer_agrees(trained: Path, loop: str) -> None:
    """Means over 3 updates of 2 micro-batches each, rates, norms, evaluations: by the first rule.

    Only a mean of several losses needs an allowance for rounding.
    """
    record = RunRecord(trained / "run" / "records" / f"paraphrase-{loop}")
    log = read_log(trained / "trainer_state.json")
    found = compare_log("paraphrase", ("log", loop), log, record)
    assert "inconclusive" == found.outcome
    for part in ("loss at 2 steps", "learning_rate at 2 steps", "grad_norm at 2 steps"):
        assert f"{part} (all digits)" in found.doubts[0]
    assert not any("only if" in doubt for doubt in found.doubts)
    run = RecordedRun(record)
    for name in ("learning_rate", "grad_norm"):
        series = log.training[name]
        (reading,) = run.training(name, log)
        for step, logged in zip(series.steps, series.values, strict=True):
            computed = reading.compute(step - 1, step)
            assert computed is not None
            assert logged == computed.value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loss", "learning_rate", "grad_norm"])
def test_a_changed_value_of_the_log_differs(trained: Path, tmp_path: Path, name: str) -> None:
    """Control: by two millionths."""
    state = json.loads((trained / "trainer_state.json").read_text(encoding="utf-8"))
    logged = [entry for entry in state["log_history"] if name in entry]
    logged[1][name] *= 1 + 2e-6
    log = read_log(write_state(tmp_path / "trainer_state.json", state["log_history"]))
    record = RunRecord(trained / "run" / "records" / "paraphrase-plain")
    first = compare_log("paraphrase", ("log", "plain"), log, record).first_divergence
    assert first is not None
    assert (name, 6) == (first.stage, first.step)
