"""The loaders, schedules and trainers of a training, found among the objects of Python's collector.

A loop or a script does not pass them to the probe. Nothing is changed.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data.dataloader import _BaseDataLoaderIter

from harness.tracing.task import Task
from harness.tracing.wrappers import unwrapped_optimizer

__all__ = ["live_objects", "schedules_of", "training_iterators"]

_LIBRARY_CLASSES = (
    ("transformers.trainer", "Trainer"),
    ("accelerate.scheduler", "AcceleratedScheduler"),
)


def live_objects() -> list[Any]:
    """The iterators of loaders, the schedules and the trainers that are alive."""
    kinds: list[type] = [_BaseDataLoaderIter, LRScheduler]
    for module, name in _LIBRARY_CLASSES:  # a module that is not imported has no objects
        library = sys.modules.get(module)
        if library is not None:
            kinds.append(getattr(library, name))
    return [value for value in gc.get_objects() if issubclass(type(value), tuple(kinds))]


def training_iterators(live: Sequence[Any], task: Task | None) -> list[Any]:
    """The iterators over the training batches.

    With a task they are those over the training set. Without one, the only one there is.
    """
    iterators = [each for each in live if issubclass(type(each), _BaseDataLoaderIter)]
    if task is not None:
        return [each for each in iterators if _rows(each) in (task.rows, None)]
    return iterators if len(iterators) == 1 else []


def schedules_of(live: Sequence[Any], optimizers: Sequence[Optimizer]) -> list[LRScheduler]:
    """The schedules that set the learning rates of these optimizers, without wrappers."""
    schedules = [each for each in live if issubclass(type(each), LRScheduler)]
    return [
        each
        for each in schedules
        if any(unwrapped_optimizer(each.optimizer) is one for one in optimizers)
    ]


def _rows(iterator: Any) -> int | None:
    """Number of rows of its data set; None if that has no length."""
    try:
        return len(iterator._dataset)
    except TypeError:
        return None
