"""The training runs in a process that this script starts; the result comes back by a queue."""

import torch
import torch.multiprocessing as mp
from torch import nn


def train(seed, results):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    warmup = 4
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warmup)
    )
    x = torch.rand(32, 3)
    y = x.prod(dim=1, keepdim=True)
    losses = []
    for batch in torch.arange(32).repeat(2).split(8):
        loss = nn.functional.mse_loss(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    results.put(losses)


def main():
    context = mp.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=train, args=(77, results))
    process.start()
    losses = results.get()
    process.join()
    print(f"{len(losses)} steps, exit code {process.exitcode}")
    for loss in losses:
        print(f"{loss:.6f}")


if __name__ == "__main__":
    main()
