"""Which lines of the user's code made the parts of a training that is about to begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from harness.tracing.call_sites import Site
from harness.tracing.live_objects import schedules_of, training_iterators
from harness.tracing.loader_settings import batch_sampler, row_sampler
from harness.tracing.sites import site_of
from harness.tracing.task import Task

__all__ = ["construction_sites"]


def construction_sites(
    live: Sequence[Any],
    models: Sequence[nn.Module],
    optimizers: Sequence[Optimizer],
    task: Task | None,
) -> dict[str, Site]:
    """The known sites by what was made there. Of several parts of a kind it is that of the first.

    `dropout P` is the line that set the probability P. The arguments are those of `live_settings`.
    """
    made: list[tuple[str, Any]] = [("optimizer", each) for each in optimizers]
    made += [("schedule", each) for each in schedules_of(live, optimizers)]
    for iterator in training_iterators(live, task):
        batches = iterator._index_sampler
        # Accelerate makes a loader of a loader: the sampler of batches is that of the first.
        made.append(("loader", batch_sampler(batches)))
        made.append(("sampler", row_sampler(batches)))
    for model in models:
        dropouts = (each for each in model.modules() if isinstance(each, _DropoutNd))
        made += [(f"dropout {each.p}", each) for each in dropouts]
    found: dict[str, Site] = {}
    for name, part in made:
        site = site_of(part)
        if site is not None:
            found.setdefault(name, site)
    return found
