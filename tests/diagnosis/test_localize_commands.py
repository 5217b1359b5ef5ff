"""Traced commands run again up to their first divergence, whose line of code is named."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness.results.localization import Localization
from harness.results.report import Report
from tests.support.command import harness

pytestmark = pytest.mark.slow

CLIP = "nn.utils.clip_grad_norm_(model.parameters(), clip)"
SCRIPT = f"""
import os
import sys

import torch
from torch import nn

clip, noise = float(sys.argv[1]), float(sys.argv[2])
torch.manual_seed(1)
torch.set_num_threads(1)
rows = torch.utils.data.TensorDataset(torch.randn(24, 4))
model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step, (batch,) in enumerate(torch.utils.data.DataLoader(rows, 4, num_workers=1), start=1):
    drawn = os.urandom(1)[0] / 256  # another number in each run
    loss = (model(batch) * (10 + noise * drawn)).square().mean()
    loss.backward()
    if step >= 3:
        {CLIP}
    optimizer.step()
    optimizer.zero_grad()
    print("at step", step, flush=True)
print("at the end", flush=True)
"""
LINE = 1 + SCRIPT.lstrip().splitlines().index(f"        {CLIP}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A script, and what `harness trace` left of four runs of it."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text(SCRIPT.lstrip(), encoding="utf-8")
    runs = {"one": (1.0, 0), "two": (0.5, 0), "again": (1.0, 0), "noisy": (1.0, 1)}
    for name, (clip, noise) in runs.items():
        words = ("trace", "--out", folder / name, "--", sys.executable, "train.py", clip, noise)
        done = harness(*words, cwd=folder / "code")
        assert 0 == done.returncode, done.stderr
    return folder


def localized(folder: Path, candidate: str, out: Path) -> Localization:
    """What `harness compare --localize` finds between the first run and another."""
    words = ("compare", folder / "one", folder / candidate, "--localize", "--out", out)
    harness(*words, cwd=folder)
    found = Report.read(out).comparisons[0].localization
    assert found is not None
    return found


def test_the_line_of_code_is_named_and_nothing_else_is_printed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With both values. The replays end after their step, and print to their log alone."""
    found = localized(folder, "two", tmp_path / "out")
    operation = found.operation
    assert operation is not None, (found.note, found.operation_note)
    assert operation.reference is not None
    assert operation.candidate is not None
    for one in (operation.reference, operation.candidate):
        assert (f"train.py:{LINE}", CLIP) == (one.place, one.source)
    assert (3, "arguments") == (found.step, operation.kind)
    assert [("1.0", "0.5")] == [values[1:] for values in operation.arguments]
    assert "at step" not in "".join(capfd.readouterr())
    logs = [path.read_text() for path in (tmp_path / "out").rglob("output.log")]
    assert 2 == len(logs)
    assert all("at step 3" in log and "at the end" not in log for log in logs)


def test_the_replays_leave_no_process(folder: Path, tmp_path: Path) -> None:
    """Neither of the command, nor of the workers that it began."""
    localized(folder, "two", tmp_path / "out")
    deadline = time.monotonic() + 60
    while (left := _in_folder(folder / "code")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [] == left


def _in_folder(folder: Path) -> list[psutil.Process]:
    """The processes that run there."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process)
    return found


def test_equal_commands_are_not_run_again(folder: Path, tmp_path: Path) -> None:
    """Control: there is nothing to localize."""
    found = localized(folder, "again", tmp_path / "out")
    assert (None, "not localized: the two are identical") == (found.operation, found.note)
    assert not list((tmp_path / "out").rglob("output.log"))


def test_a_command_that_does_not_repeat_itself_has_no_line(folder: Path, tmp_path: Path) -> None:
    """Its replay is another run, of which nothing is reported."""
    found = localized(folder, "noisy", tmp_path / "out")
    assert found.operation is None
    assert "is another training than its run: it diverges at step 1 in " in found.note
    assert "either the training does not repeat itself, or its files have changed" in found.note


def test_a_command_whose_folder_is_gone_has_no_line(folder: Path, tmp_path: Path) -> None:
    """One line states it."""
    shutil.move(folder / "code", tmp_path / "moved")
    try:
        found = localized(folder, "two", tmp_path / "out")
    finally:
        shutil.move(tmp_path / "moved", folder / "code")
    assert found.operation is None
    assert "the folder of its command does not exist: " in found.note
    assert "\n" not in found.note


TWICE = """
import sys
import torch
from torch import nn

rates = [0.1, float(sys.argv[1])]
for rate in rates:
    torch.manual_seed(1)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for step in range(3):
        optimizer.zero_grad()
        model(torch.randn(2, 4)).square().mean().backward()
        optimizer.step()
"""


def test_the_training_that_differs_is_the_one_that_is_localized(tmp_path: Path) -> None:
    """Of two scripts that train twice, the first trainings are equal and the second are not."""
    for name, rate in (("one", 0.2), ("two", 0.3)):
        (tmp_path / f"{name}.py").write_text(TWICE.lstrip(), encoding="utf-8")
        words = ("trace", "--out", name, "--", sys.executable, f"{name}.py", rate)
        assert 0 == harness(*words, cwd=tmp_path).returncode

    done = harness("compare", "one", "two", "--localize", "--out", "out", cwd=tmp_path)

    assert 1 == done.returncode, done.stderr
    first, second = Report.read(tmp_path / "out").comparisons
    assert ("identical", "different") == (first.outcome, second.outcome)
    assert ("one: one-2", "two: two-2") == (second.reference, second.candidate)
    found = second.localization
    assert found is not None
    assert found.operation is not None, (found.note, found.operation_note)
    assert [("alpha", "-0.2", "-0.3")] == list(found.operation.arguments)
