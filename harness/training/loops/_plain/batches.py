"""Which rows the plain loop trains on, in which order, and in which batches and windows."""

import itertools
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.workload import Workload

Batch = dict[str, Tensor]


def epoch_loader(workload: Workload, recipe: Recipe, epoch: int) -> DataLoader[Batch]:
    """The batches of one epoch on this process; `epoch` counts from 0.

    Construction draws no random number; iteration does. Raises `SpecError` if several processes
    would each draw their own order.
    """
    rows = workload.train_set
    order: Iterable[int]
    if recipe.sampler == "seeded":  # the same order in every loop, a new order in every epoch
        seed = recipe.seed if recipe.data_seed is None else recipe.data_seed
        generator = torch.Generator().manual_seed(seed + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
    elif recipe.sampler == "global":
        order = RandomSampler(rows)
    elif recipe.sampler == "length_grouped":
        order = LengthGrouped(rows["input_ids"], recipe)
    else:
        order = range(len(rows))
    if workload.world_size > 1:
        if recipe.sampler == "global":
            raise SpecError(
                "sampler=global draws a different order in each process after their dropout "
                "has drawn",
                f"{workload.world_size} processes",
                "set sampler to seeded",
            )
        order = share(list(order), recipe, workload.rank, workload.world_size)
    return DataLoader(
        rows,
        batch_size=recipe.per_device_batch_size,
        sampler=order,
        collate_fn=workload.collate,
        drop_last=recipe.drop_last,
        num_workers=recipe.num_workers,
    )


def share(order: list[int], recipe: Recipe, rank: int, world_size: int) -> list[int]:
    """The rows of process `rank`. Every process gets the same number of rows.

    If the rows do not divide evenly, rows from the start of `order` are repeated, or with
    `drop_last` the remainder is left out.
    """
    size = recipe.per_device_batch_size
    whole = world_size if recipe.sharding == "strided" else world_size * size
    count = len(order) // whole if recipe.drop_last else math.ceil(len(order) / whole)
    order = list(itertools.islice(itertools.cycle(order), count * whole))
    if recipe.sharding == "strided":
        return order[rank::world_size]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return list(itertools.chain.from_iterable(batches[rank::world_size]))


class LengthGrouped:
    """A sampler that puts rows of similar length together, as transformers does.

    It shuffles all rows, sorts by length within stretches of several batches, and moves the
    stretch with the longest row to the front.
    """

    def __init__(self, rows: Iterable[Tensor], recipe: Recipe) -> None:
        self.lengths = [len(row) for row in rows]
        batch = recipe.per_device_batch_size * recipe.gradient_accumulation_steps
        self.stretch = batch * max(1, min(len(self.lengths) // (batch * 4), 50))

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        shuffled = torch.randperm(len(self.lengths)).tolist()
        stretches = [
            sorted(
                shuffled[start : start + self.stretch], key=self.lengths.__getitem__, reverse=True
            )
            for start in range(0, len(shuffled), self.stretch)
        ]
        longest = max(range(len(stretches)), key=lambda i: self.lengths[stretches[i][0]])
        stretches[0][0], stretches[longest][0] = stretches[longest][0], stretches[0][0]
        return (row for stretch in stretches for row in stretch)


def windows(loader: Iterable[Batch], recipe: Recipe) -> Iterator[list[Batch]]:
    """The micro-batches of each update; the last window of an epoch may be shorter."""
    window: list[Batch] = []
    for batch in loader:
        window.append(batch)
        if len(window) == recipe.gradient_accumulation_steps:
            yield window
            window = []
    if window:
        yield window
