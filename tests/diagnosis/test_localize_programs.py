"""Two programs that are written differently, one with a fault: its line is named.

They compute the same bit for bit without it. No line of one is a line of the other, so what they
set and what they draw must lead to the line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.report.text.answers import first_lines
from harness.results.report import Report
from tests.support.command import harness

pytestmark = pytest.mark.slow

ONE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(0)
data = TensorDataset(torch.randn(64, 8), torch.randint(0, 2, (64,)))
loader = DataLoader(data, 8, shuffle=True, generator=torch.Generator().manual_seed(3))
torch.manual_seed(1)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 8)
for inputs, targets in loader:
    loss = nn.functional.cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
"""
OTHER = """
import torch


class Net(torch.nn.Sequential):
    pass


def build():
    torch.manual_seed(1)
    return Net(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))


def batches(features, classes):
    drawing = torch.Generator().manual_seed(SEED)
    torch.empty((), dtype=torch.int64).random_(generator=drawing)
    order = torch.randperm(64, generator=drawing)
    for start in range(0, 64, 8):
        chosen = order[start : start + 8]
        yield features[chosen], classes[chosen]


def main():
    torch.manual_seed(0)
    features, classes = torch.randn(64, 8), torch.randint(0, 2, (64,))
    net = build()
    criterion = torch.nn.CrossEntropyLoss()
    updates = torch.optim.AdamW(net.parameters(), lr=0.01)
    for number, (some, their) in enumerate(batches(features, classes)):
        for group in updates.param_groups:
            group["lr"] = 0.01 * (1 - number / 8)
        updates.zero_grad()
        criterion(net(some), their).backward()
        updates.step()


SEED = 3
torch.set_num_threads(1)
main()
"""
FAULTS = {
    "frozen": (
        "    criterion =",
        "    net[0].bias.requires_grad_(False)\n    criterion =",
        "net[0].bias.requires_grad_(False)",
        "requires_grad of 0.bias is True in one and False in frozen",
    ),
    "rate": (
        "(1 - number / 8)",
        "(1 - number / 9)",
        "group['lr'] = 0.01 * (1 - number / 9)",
        "lr of optimizer 1 group 1 is 0.00875 in one and 0.0088",
    ),
    "order": (
        "SEED = 3",
        "SEED = 4",
        "torch.empty((), dtype=torch.int64).random_(generator=drawing)",
        "random_ draws other numbers: generator.seed = 3 in one, 4 in order",
    ),
    "weights": (
        "    return Net",
        "    torch.manual_seed(2)\n    return Net",
        "torch.manual_seed(2)",
        "the seed of torch's global generator is 1 in one and 2 in weights",
    ),
}


def traced(folder: Path, name: str, text: str) -> None:
    """Trace a script of that name and text; its output folder is that of the name."""
    (folder / f"{name}.py").write_text(text.lstrip(), encoding="utf-8")
    done = harness("trace", "--out", name, "--", sys.executable, f"{name}.py", cwd=folder)
    assert 0 == done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both programs, traced."""
    folder = tmp_path_factory.mktemp("programs")
    traced(folder, "one", ONE)
    traced(folder, "other", OTHER)
    return folder


def compared(folder: Path, name: str, words: Sequence[str] = ()) -> Report:
    """The first program against another."""
    out = folder / f"compared-{name}"
    harness("compare", "one", name, "--out", out, *words, cwd=folder)
    return Report.read(out)


def test_the_two_programs_compute_the_same(folder: Path) -> None:
    """So what is told below comes from the fault alone."""
    assert "identical" == compared(folder, "other").comparisons[0].outcome


@pytest.mark.parametrize("name", FAULTS)
def test_the_line_of_a_fault_in_one_of_them_is_named(name: str, folder: Path) -> None:
    """In a sentence with both values, above the lines of both programs."""
    old, new, source, sentence = FAULTS[name]
    assert 1 == OTHER.count(old)
    faulty = OTHER.replace(old, new)
    traced(folder, name, faulty)
    lines = first_lines(compared(folder, name, ["--localize"]))
    told = next((n for n, line in enumerate(lines) if sentence in line), None)
    assert told is not None, lines
    number = next(
        n
        for n, line in enumerate(faulty.lstrip().splitlines(), start=1)
        if source.replace("'", '"') in line
    )
    assert any(line.startswith(f"{name}: {name}.py:{number}  ") for line in lines[told:]), lines
    # Two programs share few statements, so that they differ is not said.
    assert not any(line.startswith("Statements") for line in lines)


def test_a_cause_is_named_between_versions_and_not_between_programs(folder: Path) -> None:
    """The same frozen bias, in a version of one program and in another program."""
    old, new, *_ = FAULTS["frozen"]
    traced(folder, "program", OTHER.replace(old, new))
    frozen = "model[0].bias.requires_grad_(False)\noptimizer ="
    traced(folder, "version", ONE.replace("optimizer =", frozen, 1))
    version = compared(folder, "version", ["--localize"])
    program = compared(folder, "program", ["--localize"])
    (between_versions,), (between_programs,) = version.comparisons, program.comparisons
    assert ["parameter-frozen"] == [one.id for one in between_versions.causes]
    assert "" == between_versions.unnamed
    assert () == between_programs.causes
    assert "the two programs share" in between_programs.unnamed
