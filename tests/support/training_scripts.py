"""Small training scripts as a user writes them, without the harness."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FORKING", "TRAINING", "write_training"]

TRAINING = """
import sys

import torch

steps = int(sys.argv[1])
rate = float(sys.argv[2]) if len(sys.argv) > 2 else 0.1
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=rate)
for step in range(steps):
    inputs, targets = torch.randn(3, 4), torch.randn(3, 2)
    (model(inputs) - targets).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
print("trained", steps)
"""
"""Arguments: the number of steps, and the learning rate."""

FORKING = """
import multiprocessing

import torch


def train():
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while True:
        model(torch.ones(3, 4)).sum().backward()
        optimizer.step()


if __name__ == "__main__":
    both = [multiprocessing.get_context("fork").Process(target=train) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
"""
"""Two processes train."""


def write_training(folder: Path, name: str = "train.py", text: str = TRAINING) -> Path:
    """The script in a folder."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
