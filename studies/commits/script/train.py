"""Fits a small network to made-up rows, in one file."""

import argparse
import sys

import torch
from torch import nn

SEED = 7
LEARNING_RATE = 0.05
STEPS = 30
WORK = 25
"""Matrix products of a step, in place of those of a larger network."""


def loss_of(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    errors = (outputs - targets).pow(2)
    return errors.sum() / errors.numel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=STEPS)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    block = torch.ones(256, 256)
    inputs = torch.randn(96, 12)
    targets = inputs.sin().sum(dim=1, keepdim=True)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)
    for step in range(steps):
        rows = torch.randint(len(inputs), (12,))
        for _ in range(WORK):
            block @ block
        loss = loss_of(model(inputs[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 9:
            sys.stdout.write(f"{step + 1} {loss.item():.4f}\n")


if __name__ == "__main__":
    main()
