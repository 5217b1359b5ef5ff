"""One model in any layout of its tensors: alone, ddp, fsdp2, tp, fsdp2-tp or hsdp.

    python train.py alone exact 5
    torchrun --nproc-per-node 2 train.py fsdp2 exact 5

With `exact`, all numbers are small multiples of a power of two, in double precision, and the
updates are signs. So no sum is rounded, and each layout must compute the same bits. With `momentum`
and with `usual`, which also has dropout and clipping, each layout rounds otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

ROWS, WIDTH = 16, 8


class Gain(nn.Module):
    """Multiplies each feature by a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """[rows, WIDTH] to [rows, WIDTH]."""
        return x * self.weight


class Model(nn.Module):
    """Two linear layers."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.gain = Gain()
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        """[rows, WIDTH] to [rows, WIDTH]."""
        return self.down(self.dropout(self.up(self.gain(x)).relu()))


class SignDescent(torch.optim.Optimizer):
    """Moves each weight by the sign of the sum of the signs of its gradients."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update."""
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["moves"] = torch.zeros_like(p)
                state["moves"].add_(p.grad.sign())
                p.sub_(group["lr"] * state["moves"].sign())


def spread(model: Model, layout: str) -> tuple[nn.Module, int, int]:
    """The model in a layout; which batches this process reads, and of how many."""
    plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
    rank = dist.get_rank() if dist.is_initialized() else 0
    size = dist.get_world_size() if dist.is_initialized() else 1
    if layout == "ddp":
        return DistributedDataParallel(model), rank, size
    if layout == "fsdp2":
        mesh = init_device_mesh("cpu", (size,))
        fully_shard(model.up, mesh=mesh)
        fully_shard(model, mesh=mesh)
    elif layout == "tp":
        parallelize_module(model, init_device_mesh("cpu", (size,)), plan)
        return model, 0, 1
    elif layout == "fsdp2-tp":
        mesh = init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("data", "model"))
        parallelize_module(model, mesh["model"], plan)
        fully_shard(model, mesh=mesh["data"])
        return model, rank // (size // 2), 2
    elif layout == "hsdp":
        mesh = init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("copies", "shares"))
        fully_shard(model, mesh=mesh)
    return model, rank, size


def local(tensor: Any) -> Tensor:
    """The share of this process."""
    share: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return share


def train(
    layout: str,
    kind: str,
    steps: int,
    seed: int = 3,
    watch: Callable[[nn.Module, torch.optim.Optimizer], None] = lambda model, optimizer: None,
) -> None:
    """Train it for some steps. `watch`: receives the model and its optimizer before the first."""
    usual = kind == "usual"
    generator = torch.Generator().manual_seed(seed)
    model = Model(dropout=0.5 if usual else 0.0).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randint(-8, 9, p.shape, generator=generator) / 8)
    wrapped, part, parts = spread(model, layout)
    optimizer: torch.optim.Optimizer = SignDescent(wrapped.parameters(), lr=0.125)
    if kind != "exact":
        optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.125, momentum=0.5)
    torch.manual_seed(seed + part)
    watch(wrapped, optimizer)

    for step in range(1, steps + 1):
        x = torch.randint(-1, 2, (ROWS, WIDTH), generator=generator).double()
        target = torch.randint(-4, 5, (ROWS, WIDTH), generator=generator).double()
        own = slice(part * ROWS // parts, (part + 1) * ROWS // parts)
        difference = wrapped(x[own]) - target[own]
        loss = difference.abs().sum() / difference.numel()
        loss.backward()
        if usual:
            nn.utils.clip_grad_norm_(wrapped.parameters(), 0.1)
        optimizer.step()
        if step == steps:
            break
        optimizer.zero_grad()


def main(layout: str, kind: str, steps: int) -> None:
    """Train in this process, one of a group unless it is alone."""
    if layout != "alone":
        dist.init_process_group("gloo")
    train(layout, kind, steps)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
