"""Processes that train together: how they are started, and how each joins its group."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from accelerate import notebook_launcher
from accelerate.commands.config.config_args import load_config_from_file
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from harness.errors import SpecError

__all__ = ["Place", "check_accelerate_arguments", "joined", "notebook", "torchrun"]

_TIMEOUT = timedelta(hours=24)  # the parent finds a hanging process and ends all of them


@dataclass(frozen=True)
class Place:
    """The rank of this process, and the number of processes."""

    rank: int = 0
    world_size: int = 1

    def meet(self) -> None:
        """Wait until all processes have called this."""
        if self.world_size > 1:
            torch.distributed.barrier()


@contextmanager
def joined(world_size: int, device: torch.device) -> Iterator[Place]:
    """Inside, this process belongs to the group that the variables of its launcher name.

    The backend is gloo on a CPU and NCCL on CUDA. A single process joins no group.
    """
    if world_size == 1:
        yield Place()
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=_TIMEOUT)
    place = Place(int(os.environ["RANK"]), world_size)
    try:
        yield place
    finally:
        torch.distributed.destroy_process_group()


def torchrun(
    arguments: Sequence[str], function: Callable[..., None], *given: Any
) -> dict[int, int]:
    """Do what the command torchrun does with `arguments`, with `function(*given)` as the script.

    Returns, by rank, the exit codes of the processes that failed first. The others were then ended.
    """
    config, _, _ = config_from_args(parse_args([*arguments, "unused.py"]))
    # Forked like single workers: this process has imported the libraries and computed nothing.
    config.start_method = "fork"
    try:
        elastic_launch(config, function)(*given)
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}
    return {}


def notebook(count: int, port: str, function: Callable[..., None], *given: Any) -> bool:
    """Start `count` processes with `notebook_launcher`; return whether all of them succeeded."""
    try:
        notebook_launcher(function, given, num_processes=count, use_port=port)
    except (RuntimeError, ChildFailedError):
        traceback.print_exc()
        return False
    return True


def check_accelerate_arguments(arguments: Sequence[str]) -> None:
    """Raise `SpecError` if `accelerate launch` cannot read its configuration file."""
    for argument in arguments:
        name, _, path = argument.partition("=")
        if name == "--config_file":
            try:
                load_config_from_file(path)
            except (ValueError, TypeError, KeyError) as error:
                raise SpecError(
                    "accelerate launch must be able to read its configuration",
                    error,
                    "make one with `accelerate config --config_file FILE`",
                ) from None
