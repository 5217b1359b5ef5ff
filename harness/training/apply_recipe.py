"""Applies the recipe fields that concern the model and the data, equally for all loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.predictions import best_class
from harness.training.workload import IGNORED, Workload

__all__ = ["DrawingCollator", "apply_recipe"]

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class DrawingCollator:
    """Pads each batch by a further 0 to `most` tokens, drawn from torch's global generator.

    It represents every collator that draws random numbers: loops differ in when it draws.
    """

    collate: Callable[[list[Batch]], Batch]
    most: int
    pad_token_id: int

    def __call__(self, rows: list[Batch]) -> Batch:
        """Collate `rows` to one batch and pad it."""
        batch = self.collate(rows)
        fillings = {"input_ids": self.pad_token_id, "labels": IGNORED}
        extra = (0, int(torch.randint(self.most + 1, ())))
        for name, tensor in batch.items():
            if tensor.ndim > 1:  # one value per token
                value = fillings.get(name, 0)
                batch[name] = torch.nn.functional.pad(tensor, extra, value=value)
        return batch


def apply_recipe(workload: Workload, recipe: Recipe) -> Workload:
    """Freeze parameters and replace the collator, if the recipe asks for it.

    Raises `SpecError` if the workload does not support a field of the recipe.
    """
    columns = getattr(workload.train_set, "column_names", ())
    if workload.own_task:
        _refuse_for_own_task(workload, recipe)
    if recipe.label_smoothing and workload.predict is not best_class:
        raise SpecError(
            "label_smoothing spreads the target over classes",
            f"{workload.name}, a task without classes",
            "set it to 0",
        )
    if recipe.sampler == "length_grouped" and "input_ids" not in columns:
        raise SpecError(
            "sampler=length_grouped needs rows of tokens", workload.name, "set another sampler"
        )
    if workload.world_size > 1 and recipe.sampler == "length_grouped":
        raise SpecError(
            "sampler=length_grouped would draw a different order in each process",
            f"{workload.world_size} processes",
            "set sampler to seeded",
        )
    if recipe.random_numbers == "host" and recipe.compile is not None:
        raise SpecError(
            "a compiled model draws inside its kernels, so random_numbers=host has no effect on it",
            f"compile={recipe.compile}",
            "set compile to none, or random_numbers to device",
        )
    if recipe.parallel == "fsdp2" and recipe.save_every is not None:
        raise SpecError(
            "a sharded model cannot be saved yet",
            "parallel=fsdp2",
            "set save_every to none",
        )
    if recipe.frozen is not None:
        names = [name for name, _ in workload.model.named_parameters()]
        frozen = [name for name in names if name.startswith(recipe.frozen)]
        if not frozen or len(frozen) == len(names):
            raise SpecError(
                "frozen must be the beginning of the names of some parameters, but not of all",
                repr(recipe.frozen),
                f"set it to another prefix; the first parameter is {names[0]}",
            )
        for name in frozen:
            workload.model.get_parameter(name).requires_grad_(False)
    if recipe.extra_padding:
        pad = getattr(getattr(workload.model, "config", None), "pad_token_id", None)
        if "attention_mask" not in columns or pad is None:
            raise SpecError("extra_padding needs rows with padding", workload.name, "set it to 0")
        drawing = DrawingCollator(workload.collate, recipe.extra_padding, pad)
        return replace(workload, collate=drawing)
    return workload


_NOT_OWN = ("attention", "extra_padding", "label_smoothing", "max_length", "padding")


def _refuse_for_own_task(workload: Workload, recipe: Recipe) -> None:
    """Raise `SpecError` for a field that only the task's own model, collate or loss can follow."""
    for name in _NOT_OWN:
        default = Recipe.model_fields[name].default
        if getattr(recipe, name) != default:
            raise SpecError(
                f"{name} is the business of a task of your own, in its model, collate or loss",
                f"{name}={getattr(recipe, name)}",
                f"set it to {'none' if default is None else default}",
            )
    inner = getattr(workload.model, "model", None)
    if recipe.gradient_checkpointing and not hasattr(inner, "gradient_checkpointing_enable"):
        raise SpecError(
            "gradient_checkpointing needs a model with the method gradient_checkpointing_enable",
            type(inner).__name__,
            "set it to false",
        )
