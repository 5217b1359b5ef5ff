"""The settings of the loader of the training batches, which is being iterated over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch.utils.data import RandomSampler, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from harness.results.header import GLOBAL_GENERATOR
from harness.tracing.task import Task

__all__ = ["batch_sampler", "loader_settings", "row_sampler"]


def loader_settings(iterators: Sequence[Any], task: Task | None) -> dict[str, Any]:
    """Settings by dotted name; empty if no iterator makes batches of a fixed size."""
    for iterator in iterators:
        batches = iterator._index_sampler
        if getattr(batches, "batch_size", None) is None:
            continue
        collator = iterator._collate_fn
        name = getattr(collator, "__qualname__", type(collator).__qualname__)
        sampler = row_sampler(batches)
        settings = {
            "loader.batch_size": batches.batch_size,
            "loader.drop_last": bool(getattr(batches, "drop_last", False)),
            "loader.num_workers": iterator._num_workers,
            "loader.sampler": _sampler(sampler),
            "loader.fetched": iterator._num_yielded,
            "loader.collator": (
                "the workload's" if task is not None and collator is task.collator else name
            ),
        }
        found = {"loader.order": _order(sampler), "loader.seed": _seed(sampler)}
        return settings | {name: value for name, value in found.items() if value is not None}
    return {}


def batch_sampler(batches: Any) -> Any:
    """The sampler of batches that a script made; Accelerate's shards wrap it."""
    while hasattr(batches, "batch_sampler"):
        batches = batches.batch_sampler
    return batches


def row_sampler(batches: Any) -> Any:
    """The sampler of rows from which batches are made; None if there is none."""
    return getattr(batch_sampler(batches), "sampler", None)


def _sampler(sampler: Any) -> str | None:
    """The source of the order of the rows; None if it cannot be determined."""
    if isinstance(sampler, SequentialSampler):
        return "sequential"
    if isinstance(sampler, DistributedSampler):
        return f"strided, seed {sampler.seed}" if sampler.shuffle else "strided, in order"
    if type(sampler).__name__ == "SeedableRandomSampler":
        seed = getattr(sampler, "initial_seed", None)
        return f"Accelerate's seedable sampler, seed {seed} + epoch"
    if isinstance(sampler, RandomSampler):
        if sampler.generator is None:
            return GLOBAL_GENERATOR
        return f"a generator of its own, seed {sampler.generator.initial_seed()}"
    return None


def _order(sampler: Any) -> str | None:
    """Whether the rows are shuffled; also known of a list of rows, as a loop may make it."""
    if isinstance(sampler, SequentialSampler):
        return "in order"
    if isinstance(sampler, DistributedSampler):
        return "shuffled" if sampler.shuffle else "in order"
    if isinstance(sampler, RandomSampler):
        return "shuffled"
    if isinstance(sampler, range | list | tuple) and all(isinstance(row, int) for row in sampler):
        return "in order" if all(one < two for one, two in pairwise(sampler)) else "shuffled"
    return None


def _seed(sampler: Any) -> int | None:
    """The seed of the generator from which the order is drawn; None: not known, or not its own."""
    if isinstance(sampler, DistributedSampler):
        return sampler.seed if sampler.shuffle else None
    if type(sampler).__name__ == "SeedableRandomSampler":
        seed = getattr(sampler, "initial_seed", None)
        return seed if isinstance(seed, int) else None
    generator = getattr(sampler, "generator", None) if isinstance(sampler, RandomSampler) else None
    return None if generator is None else int(generator.initial_seed())
