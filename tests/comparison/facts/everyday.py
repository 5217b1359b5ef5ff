"""A loop and a script of a user's own, six everyday edits of one line, and how both are run."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.comparison.compare import compare
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec import registry
from harness.tracing import sites
from tests.support.in_process import train_in_process
from tests.support.small_runs import small_case, write_pairs

__all__ = ["EDITS", "LOOP", "SCRIPT", "Edit", "compared", "edited", "run_loop", "run_script"]

LOOP = '''"""A loop of a user's own."""

import torch
from torch import nn
from torch.utils.data import DataLoader


def train(workload, recipe, probe):
    model = workload.model
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-05, weight_decay=0.01)
    loader = DataLoader(workload.train_set, batch_size=8, collate_fn=workload.collate)
    probe.watch(model, optimizer)
    model.train()
    for step, batch in enumerate(loader, start=1):
        labels = batch.pop("labels")
        logits = model(**batch).logits
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.0)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        if step == 3:
            return model
'''
SCRIPT = '''"""A script of a user's own, which knows nothing of the harness."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
rows = TensorDataset(torch.randn(24, 4), torch.arange(24) % 3)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-05, weight_decay=0.01)
loader = DataLoader(rows, batch_size=8, shuffle=True)
for inputs, labels in loader:
    loss = nn.functional.cross_entropy(model(inputs), labels, label_smoothing=0.0)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()
    optimizer.zero_grad()
'''


@dataclass(frozen=True)
class Edit:
    """One edit of one line, and what is to be said of it."""

    fact: str
    """The id of the only fact that explains."""
    old: str
    """A part of one line of `LOOP`."""
    new: str
    text: str
    shows_at: str
    """A part of the line that is to be named, where that is not the edited one."""

    @property
    def in_script(self) -> Edit:
        """The same edit of `SCRIPT`."""
        place = (part.replace("module.p = ", "Dropout(") for part in (self.old, self.new))
        old, new = place
        return Edit(self.fact, old, new, self.text, self.shows_at)


EDITS = {
    edit.fact: edit
    for edit in (
        Edit("learning_rate", "lr=5e-05", "lr=3e-05", "learning rate 3e-05 against 5e-05", ""),
        Edit("batch_size", "batch_size=8", "batch_size=4", "batch size 4 against 8", ""),
        Edit("clip", ", 0.1)", ", 0.05)", "clips gradients at 0.05 against 0.1", ""),
        Edit("dropout", "module.p = 0.1", "module.p = 0.3", "dropout 0.3 against 0.1", ""),
        Edit(
            "label_smoothing",
            "smoothing=0.0",
            "smoothing=0.2",
            "label smoothing 0.2 against 0",
            "backward()",
        ),
        Edit("weight_decay", "decay=0.01", "decay=0.1", "weight decay 0.1 against 0.01", ""),
    )
}


def edited(program: str, edit: Edit | None) -> str:
    """The program with one line edited, which moves down by one line."""
    if edit is None:
        return program
    assert program.count(edit.old) == 1
    return program.replace('"""\n', '"""\n# Edited.\n', 1).replace(edit.old, edit.new)


def line_of(program: str, part: str) -> int:
    """The number of the only line that holds `part`."""
    (found,) = [n for n, line in enumerate(program.splitlines(), start=1) if part in line]
    return found


def run_loop(folder: Path, program: str) -> RunRecord:
    """Train by a loop in this process, as a child process does."""
    folder.mkdir(parents=True)
    file = folder / "my_loop.py"
    file.write_text(program, encoding="utf-8")
    case = small_case(write_pairs(folder / "data"))
    with sites.remembered():
        return train_in_process(registry.run_spec(case, str(file)), folder / "record", 3)


def run_script(folder: Path, program: str) -> RunRecord:
    """Record a script in this process."""
    folder.mkdir(parents=True)
    file = folder / "script.py"
    file.write_text(program, encoding="utf-8")
    with harness.trace(folder / "record"):
        runpy.run_path(str(file))
    return RunRecord(folder / "record")


def compared(reference: RunRecord, candidate: RunRecord) -> Comparison:
    """The comparison with the labels `reference` and `candidate`."""
    return compare(reference, candidate, ("reference", "candidate"))
