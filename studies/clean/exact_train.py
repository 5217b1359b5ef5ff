"""A training whose arithmetic is exact: whole numbers at first, a rate of 1/16, three updates.

So no order of summation rounds, and updates that are cut into micro-batches in any way are equal
bit for bit. It is a command of `studies.clean_pairs`, and knows nothing of the harness.
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--names", default="")
options = parser.parse_args()

generator = torch.Generator().manual_seed(options.seed)
rows = torch.randint(-2, 3, (64, 8), generator=generator).double()
labels = torch.randint(-2, 3, (64, 1), generator=generator).double()
start = torch.randint(-2, 3, (1, 8), generator=generator).double()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module(f"{options.names}line", nn.Linear(8, 1, bias=False).double())

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        (line,) = self.children()
        result: torch.Tensor = line(given)
        return result


model = Model()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(start)
optimizer = torch.optim.SGD(model.parameters(), lr=2**-4)
for step_rows in torch.arange(48).split(16):
    for part in step_rows.split(options.batch):
        loss = (model(rows[part]) - labels[part]).pow(2).sum() / 16
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()
