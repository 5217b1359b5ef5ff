"""What the trace `micro_batches` keeps of forward passes, and the row that they make together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.tracing import digest
from harness.tracing.forward import ForwardPass
from harness.tracing.graph import constants_of
from harness.tracing.rows import (
    content,
    content_digests,
    label_digests,
    row_digests,
    row_likeness,
    tensors_of,
)
from harness.tracing.task import Task

__all__ = ["Batch", "facts_of", "facts_of_graph", "row_of"]

Facts = dict[str, Any]


class Batch:
    """The tensors of one forward pass, the numbers of its rows, and their labels."""

    def __init__(self, one: ForwardPass, task: Task | None) -> None:
        arguments = one.arguments()
        self.ids: list[int] | None = None
        """Row numbers, which only a task knows."""
        self.labels: Tensor | None = None
        """The labels of a task."""
        if task is None:
            self.tensors = tensors_of(arguments)
            config = getattr(one.model, "config", None)
            self.pad: int | None = getattr(config, "pad_token_id", None)
            return
        named = ((name, arguments.get(name)) for name in task.columns)
        self.tensors = {name: value for name, value in named if isinstance(value, Tensor)}
        self.pad = task.pad_token_id
        self.ids = task.identify(self.tensors)
        if "labels" not in self.tensors and self.ids is not None:  # the loss is outside the model
            self.tensors["labels"] = task.labels_of(self.ids, self.tensors)
        self.labels = self.tensors.get("labels")


def facts_of(batch: Batch, device: torch.device, circumstances: Mapping[str, Any]) -> Facts:
    """What is kept of a pass that begins; `circumstances`: further evidence about it."""
    digests = content_digests(batch.tensors)
    inputs, labels = content(digests)
    each = {**digests, **label_digests(batch.tensors)}
    if batch.ids is None:  # else their numbers tell whether the rows are the same
        each |= row_likeness(batch.tensors)
    return {
        "sample_ids": batch.ids,
        "rows": row_digests(batch.tensors, batch.pad),
        "batch_content": inputs,
        "label_content": labels,
        "generators": digest.of_generators(device),
        "labels": batch.labels,
        "circumstances": {
            **circumstances,
            "inputs": list(each),
            "input_digests": list(each.values()),
        },
    }


def facts_of_graph(roots: Sequence[Tensor], device: torch.device) -> Facts:
    """What a backward pass that begins at `roots` shows of its forward pass, which was not seen.

    The batch is what autograd has kept of it, and the generators are those after the pass.
    """
    constants = [each for each in constants_of(roots) if each.layout is torch.strided]
    digests = sorted(digest.of_batch({"": each}) for each in constants)
    return {
        "sample_ids": None,
        "rows": None,
        "batch_content": digest.combined(digests) if digests else None,
        "label_content": None,
        "generators": digest.of_generators(device),
    }


def row_of(facts: Sequence[Facts], loss: Tensor | None) -> dict[str, Any]:
    """The row of the passes that one backward pass went back through; `loss`: its scalar."""
    own = [one["task_loss"] for one in facts if "task_loss" in one]
    generators = facts[0]["generators"] if facts else None
    facts = _distinct(facts)
    read = [one for one in facts if one["batch_content"] is not None] or facts
    return {
        "sample_ids": _together(one["sample_ids"] for one in facts),
        "rows": _together(one["rows"] for one in read),
        "batch_content": _one_of(one["batch_content"] for one in facts),
        "label_content": _one_of(one["label_content"] for one in facts),
        "rng": generators and generators.torch,
        "rng_python": generators and generators.python,
        "rng_numpy": generators and generators.numpy,
        "loss": loss,
        "task_loss": own[0] if len(own) == 1 else None,
    }


def _distinct(facts: Sequence[Facts]) -> list[Facts]:
    """Of the passes over one batch the first: a second one, as of a term for consistency, reads
    the same rows."""
    found: dict[Any, Facts] = {}
    for place, one in enumerate(facts):
        content = one["batch_content"]
        found.setdefault(("pass", place) if content is None else content, one)
    return list(found.values())


def _together(parts: Iterable[list[int] | None]) -> list[int] | None:
    """The rows of several forward passes; None if one of them has none, or if there is none."""
    known = list(parts)
    if not known or None in known:
        return None
    return [row for part in known if part is not None for row in part]


def _one_of(contents: Iterable[int | None]) -> int | None:
    """One digest of the batches of several forward passes; None if there is none."""
    known = [each for each in contents if each is not None]
    if len(known) < 2:
        return known[0] if known else None
    return digest.combined(known)
