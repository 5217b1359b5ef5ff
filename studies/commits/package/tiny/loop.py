"""The loop: AdamW, a linear schedule and a clip."""

import itertools

import torch
from torch import nn

from .network import Network
from .rows import Batch, batches

LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.01
LONGEST = 1000
"""Steps after which the learning rate is no longer reduced."""


def train(network: Network, rows: Batch, steps: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(0.1, 1 - step / LONGEST)
    )
    network.train()
    endless = (batch for epoch in itertools.count() for batch in batches(rows, epoch))
    for inputs, labels in itertools.islice(endless, steps):
        loss = nn.functional.cross_entropy(network(inputs), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
