"""Small git repositories with a training script, made in the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["MODEL", "SCRIPT", "git", "make_repository"]

SCRIPT = """
import torch

import model as own

torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=own.RATE)
for step in range(12):
    inputs, targets = torch.randn(3, 4), torch.randn(3, 2)
    own.loss_of(model(inputs), targets).backward()
    optimizer.step()
    optimizer.zero_grad()
"""
MODEL = """
RATE = 0.1


def loss_of(outputs, targets):
    return (outputs - targets).pow(2).mean()
"""


def git(folder: Path, *words: str) -> str:
    """Run git in a folder; what it prints."""
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make_repository(folder: Path, **files: str) -> Path:
    """A repository with one commit on the branch `main`; `files`: contents by stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in {"train": SCRIPT, "model": MODEL, **files}.items():
        (folder / f"{stem}.py").write_text(text, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder
