"""Processes that train together: starts them as torchrun does; each joins and leaves its group."""

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

_PATIENCE = timedelta(hours=24)  # whoever hangs is found by the parent, which ends them all


@dataclass(frozen=True)
class Place:
    """Which of how many processes this one is."""

    rank: int = 0
    world_size: int = 1

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            torch.distributed.barrier()


@contextmanager
def joined(world_size: int, device: torch.device) -> Iterator[Place]:
    """Inside, this process is in the group that its launcher's variables name.

    gloo on a CPU, NCCL on CUDA. A single process joins nothing.
    """
    if world_size == 1:
        yield Place()
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    place = Place(int(os.environ["RANK"]), world_size)
    try:
        yield place
    finally:
        torch.distributed.destroy_process_group()


def torchrun(
    arguments: Sequence[str], function: Callable[..., None], *given: Any
) -> dict[int, int]:
    """Do what the command torchrun does with `arguments`, with `function(*given)` for a script.

    Returns, by rank, the exit codes of the processes that failed first; the others were ended then.
    """
    config, _, _ = config_from_args(parse_args([*arguments, "unused.py"]))
    # Forked, as single workers are: this process has imported the libraries and computed nothing.
    config.start_method = "fork"
    try:
        elastic_launch(config, function)(*given)
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}
    return {}


def notebook(count: int, port: str, function: Callable[..., None], *given: Any) -> bool:
    """Have `notebook_launcher` start `count` processes; whether all of them ended well."""
    try:
        notebook_launcher(function, given, num_processes=count, use_port=port)
    except (RuntimeError, ChildFailedError):
        traceback.print_exc()
        return False
    return True


def check_accelerate_arguments(arguments: Sequence[str]) -> None:
    """Raise `SpecError` where `accelerate launch` will not read its configuration file."""
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
