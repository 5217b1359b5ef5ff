"""The `Task` of a workload: what it adds to the probe, which itself knows only torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from harness.execution.child.own_rows import OwnRows
from harness.spec.recipe import Recipe
from harness.tracing.task import Task
from harness.training.evaluation import logits_shape
from harness.training.examples import Examples
from harness.training.seeding import generators_restored
from harness.training.workload import IGNORED, Workload

__all__ = ["task_of"]


def task_of(workload: Workload, recipe: Recipe, steps: int) -> Task:
    """The task of a workload; `steps`: the planned number of updates."""
    pad = workload.tokenizer.pad_token_id if workload.tokenizer is not None else None
    examples: Examples | OwnRows
    if workload.own_task:
        examples = own = OwnRows(workload)
        columns = own.columns
    else:
        examples = Examples(workload.train_set, pad)
        columns = workload.train_set.column_names

    def labels_of(ids: list[int], batch: Mapping[str, Tensor]) -> Tensor:
        return examples.labels_of(ids, batch).to(workload.device)

    def logits_of(output: Any, labels: Tensor) -> Tensor | None:
        """The logits of shape [batch, ..., classes]; None if there are none of that shape.

        A task of the user's has none: its loss is not computed a second time, since it may have a
        state.
        """
        if workload.own_task:
            return None
        found = output if isinstance(output, Tensor) else None
        if isinstance(output, Mapping):
            found = output.get("logits")
        elif isinstance(output, tuple):
            found = next((value for value in output if isinstance(value, Tensor)), None)
        elif found is None:
            found = getattr(output, "logits", None)
        expected = logits_shape(workload, workload.targets(labels))
        return found if isinstance(found, Tensor) and tuple(found.shape) == expected else None

    def state_after_collating() -> Tensor:
        with generators_restored():
            workload.collate([workload.train_set[0]])
            return torch.get_rng_state()

    return Task(
        columns=columns,
        rows=len(workload.train_set),
        steps=steps,
        ignored=IGNORED,
        pad_token_id=pad,
        identify=examples.identify,
        labels_of=labels_of,
        logits=logits_of,
        loss=workload.loss,
        targets=workload.targets,
        loss_metrics=frozenset(workload.loss_metrics),
        collator=workload.collate,
        state_after_collating=state_after_collating,
        environment={
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": str(recipe.gradient_accumulation_steps),
            "ACCELERATE_MIXED_PRECISION": (
                "no" if recipe.precision == "fp32" else recipe.precision
            ),
        },
    )
