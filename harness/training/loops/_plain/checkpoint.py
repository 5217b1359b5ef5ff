"""Checkpoints of the plain loop: what they hold, and how a run returns to its place in an epoch."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from harness.training.loops._plain.batches import Batch
from harness.training.seeding import GeneratorStates, generator_states, set_generator_states
from harness.training.workload import Workload


def save_checkpoint(
    workload: Workload,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: dict[str, Any],
) -> Path:
    """Write everything that the next step depends on; return the checkpoint's folder.

    `progress` holds `step`, which determines the schedule; `skipped`, the updates left out after
    an overflow; and `epoch_start`, the generator states from which this epoch's order was drawn.
    """
    folder = workload.output_dir / f"checkpoint-{progress['step']}"
    folder.mkdir(exist_ok=True)
    if workload.rank == 0:  # all processes hold the same
        shared = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
        }
        torch.save(shared, folder / "shared.pt")
    own = {**progress, "generators": generator_states()}  # the next dropout draws from these
    torch.save(own, folder / f"rank-{workload.rank}.pt")
    return folder


def load_checkpoint(
    workload: Workload,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> dict[str, Any] | None:
    """Load weights, optimizer and scaler; return this process's progress and generator states.

    Returns None if the run starts from the beginning.
    """
    if workload.resume_from is None:
        return None
    shared = torch.load(workload.resume_from / "shared.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(shared["model"])
    optimizer.load_state_dict(shared["optimizer"])
    scaler.load_state_dict(shared["scaler"])
    own: dict[str, Any] = torch.load(
        workload.resume_from / f"rank-{workload.rank}.pt", weights_only=True
    )
    return own


def return_to(
    saved: dict[str, Any], updates: Iterator[list[Batch]], updates_done: int
) -> GeneratorStates:
    """Advance `updates` to the checkpoint's place; return the generator states at epoch start.

    The generators are restored twice. First to the states at the epoch's start: from them the
    epoch's order and the collator's numbers for the skipped batches are drawn again. Then to the
    states at the checkpoint, from which dropout continues. At the end of an epoch no batch is
    skipped: the states at the checkpoint are restored before the new epoch's iterator draws.
    """
    epoch_start: GeneratorStates = saved["epoch_start" if updates_done else "generators"]
    set_generator_states(epoch_start)
    for _ in itertools.islice(updates, updates_done):
        pass
    set_generator_states(saved["generators"])
    return epoch_start
