"""Parts of a recipe that concern model and data, not the loop; applied once for all loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.workload import IGNORED, Workload

__all__ = ["DrawingCollator", "adapt"]

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class DrawingCollator:
    """Pads each batch by up to `most` tokens more, drawn from torch's global generator.

    It stands for every collator that draws: what it draws does not matter, when it draws does.
    """

    collate: Callable[[list[Batch]], Batch]
    most: int
    pad_token_id: int

    def __call__(self, rows: list[Batch]) -> Batch:
        """One batch."""
        batch = self.collate(rows)
        fillings = {"input_ids": self.pad_token_id, "labels": IGNORED}
        extra = (0, int(torch.randint(self.most + 1, ())))
        for name, tensor in batch.items():
            if tensor.ndim > 1:  # one value a token
                value = fillings.get(name, 0)
                batch[name] = torch.nn.functional.pad(tensor, extra, value=value)
        return batch


def adapt(workload: Workload, recipe: Recipe) -> Workload:
    """Freeze what is not to be trained, and make the collator draw, where the recipe says so.

    Raises `SpecError` where the workload has nothing to freeze, no lengths, or no padding.
    """
    if recipe.sampler == "length_grouped" and "input_ids" not in workload.train_set.column_names:
        raise SpecError(
            "sampler=length_grouped needs rows of tokens", workload.name, "take another"
        )
    if workload.world_size > 1 and recipe.sampler == "length_grouped":
        raise SpecError(
            "sampler=length_grouped draws from each process's own generator, and these part",
            f"{workload.world_size} processes",
            "take seeded",
        )
    if recipe.parallel == "fsdp2" and recipe.save_every is not None:
        raise SpecError(
            "a model that is shared out is not saved yet",
            "parallel=fsdp2",
            "set save_every to none",
        )
    if recipe.frozen is not None:
        names = [name for name, _ in workload.model.named_parameters()]
        frozen = [name for name in names if name.startswith(recipe.frozen)]
        if not frozen or len(frozen) == len(names):
            raise SpecError(
                "frozen= takes the beginning of the names of some parameters, not of all",
                repr(recipe.frozen),
                f"the first parameter is called {names[0]}",
            )
        for name in frozen:
            workload.model.get_parameter(name).requires_grad_(False)
    if recipe.extra_padding:
        pad = getattr(workload.model.config, "pad_token_id", None)
        if "attention_mask" not in workload.train_set.column_names or pad is None:
            raise SpecError("extra_padding= needs rows with padding", workload.name, "set it to 0")
        drawing = DrawingCollator(workload.collate, recipe.extra_padding, pad)
        return replace(workload, collate=drawing)
    return workload
