"""A small model that a probe watches, driven step by step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from datasets import Dataset
from torch import Tensor, nn

from harness.execution.child.task import task_of
from harness.results.record import SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Detail, Recipe
from harness.tracing.listener import Listener
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from harness.tracing.task import Task
from harness.training.predictions import best_class
from harness.training.workload import Workload

__all__ = ["ROWS", "Classifier", "Notifications", "Watched", "batch", "task", "workload"]

ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [2, 4, 6]]


class Classifier(nn.Module):
    """Embeds tokens, applies dropout and returns two logits; is called as the workloads' models."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits [batch, 2], and the loss if labels are passed."""
        logits = self.head(self.dropout(self.embedding(input_ids)).mean(dim=1))
        loss = logits.sum() if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def task(model: nn.Module) -> Task:
    """What the workload of four rows adds to the probe."""
    return task_of(workload(model), Recipe(), 8)


def workload(model: nn.Module) -> Workload:
    """Four rows of three tokens."""
    rows = Dataset.from_dict(
        {"input_ids": ROWS, "attention_mask": [[1, 1, 1]] * 4, "labels": [0, 1, 1, 0]}
    ).with_format("torch")
    part = SimpleNamespace(
        model=model,
        train_set=rows,
        loss=nn.functional.cross_entropy,
        device=torch.device("cpu"),
        world_size=1,
        tokenizer=None,
        num_classes=2,
        own_task=False,
        predict=best_class,
        has_labels=True,
        collate=torch.utils.data.default_collate,
        targets=lambda labels: labels,
        loss_metrics={},
    )
    return cast(Workload, part)


def batch(*rows: int) -> dict[str, Tensor]:
    """The batch of those rows."""
    tokens = torch.tensor([ROWS[row] for row in rows])
    labels = torch.tensor([[0, 1, 1, 0][row] for row in rows])
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels}


class Notifications(Listener):
    """Keeps its notifications."""

    def __init__(self) -> None:
        self.before: list[int] = []
        self.after: list[int] = []
        self.checkpoints: list[Path] = []

    def before_step(self, step: int) -> None:
        """Keep it."""
        self.before.append(step)

    def after_step(self, step: int) -> None:
        """Keep it."""
        self.after.append(step)

    def saved(self, checkpoint: Path) -> None:
        """Keep it."""
        self.checkpoints.append(checkpoint)


class Watched:
    """A model, an optimizer, and a trace probe on both."""

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        compiled_by: Any = None,
        sketch: bool = False,
        world_size: int = 1,
        detail: Detail = "full",
        momentum: float = 0.0,
    ) -> None:
        torch.manual_seed(seed)
        self.model: Any = Classifier()
        if compiled_by is not None:
            self.model = torch.compile(self.model, backend=compiled_by)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.5, momentum=momentum)
        self.writer = RecordWriter(folder)
        self.listener = Notifications()
        case = Case(name="probe", workload="paraphrase")
        self.spec = RunSpec(case=case, loop="plain", recipe=Recipe(), sketch=sketch, detail=detail)
        options = TraceOptions(detail=detail, sketch=sketch)
        self.probe = TraceProbe(
            self.writer, self.listener, options, task=task(self.model), processes=world_size
        )
        self.probe.watch(self.model, self.optimizer)

    def backward(self, *rows: int, **changed: Any) -> None:
        """One forward and backward pass."""
        self.model(**{**batch(*rows), **changed})["loss"].backward()

    def step(self) -> None:
        """One update."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def record(self) -> RunRecord:
        """What was recorded."""
        self.probe.close()
        self.writer.close(
            Header(
                schema_version=SCHEMA_VERSION,
                spec=self.spec,
                status="completed",
                environment={},
                settings=self.probe.counts.settings,
                observed=self.probe.counts.observed,
            )
        )
        return RunRecord(self.writer.folder)
