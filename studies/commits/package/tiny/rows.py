"""Made-up rows, and the batches of an epoch."""

from collections.abc import Iterator

import torch

BATCH = 8
Batch = tuple[torch.Tensor, torch.Tensor]


def make_rows(count: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 10, generator=generator)
    return inputs, (inputs.pow(2).sum(dim=1) > 9).long()


def batches(rows: Batch, epoch: int) -> Iterator[Batch]:
    inputs, labels = rows
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(epoch))
    for chosen in order.split(BATCH):
        yield inputs[chosen], labels[chosen]
