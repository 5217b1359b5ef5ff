"""The trace probe: it records the values of a training loop through PyTorch's own hooks.

A loop names its model and its optimizer once; the probe needs nothing else from it, so it records
every loop in the same way. The trace probe records values and measures no time; `TimingProbe`
measures times and reads no values. Neither changes a computed bit or draws a random number.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.results.record import Counts, RecordWriter
from harness.spec.case import RunSpec
from harness.tracing import digest
from harness.tracing.examples import Examples
from harness.tracing.hooks import HookedProbe, Listener
from harness.tracing.observations import Observer
from harness.tracing.settings import draws_since_seed, live_settings
from harness.tracing.tensors import TensorTrace, full_tensor
from harness.training.evaluation import Scores
from harness.training.probe import Probe
from harness.training.workload import Workload

__all__ = ["Listener", "Probe", "TraceProbe"]


class TraceProbe(HookedProbe):
    """Records digests of everything that a step computes; each is written before the next update.

    A micro-batch is the last forward pass with gradients before a backward pass. Gradients are
    read as autograd leaves them, before a loop can clip or scale them. After each backward pass
    the digest covers the gradient accumulated so far, so the last digest before a step is recorded.
    `tensors.py` describes when each tensor is read.
    """

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        workload: Workload,
        spec: RunSpec,
        steps_expected: int,
        counts: Counts | None = None,
    ) -> None:
        """`steps_expected`: the number of updates by the recipe of `spec`."""
        super().__init__(writer, listener, workload, counts)
        self._tensors = TensorTrace(writer, workload, spec)
        self._recipe, self._steps_expected = spec.recipe, steps_expected
        self._observer = Observer(writer, self.counts, workload)
        self._settings_recorded = False
        self._examples = Examples(workload.train_set)
        self._names: dict[Tensor, str] = {}
        self._parameters_of_forward: list[str] = []
        self._forward: dict[str, Any] | None = None
        self._micro_batches: list[dict[str, Any]] = []

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self._names = {tensor: name for name, tensor in model.named_parameters()}
        self._parameters_of_forward = list(inspect.signature(model.forward).parameters)
        self._model, self._optimizer = model, optimizer
        self._draws_at_watch = draws_since_seed()
        self._handles += self._observer.attach(model, called is not model, self._names)
        self._tensors.attach(model, optimizer)
        if not self.counts.steps:  # a resumed run's record holds them already
            if self._tensors.records_tensors:
                self._observer.record_initial_weights()
            self.counts.initial_weights = f"{self._tensors.record_initial():016x}"
        add = self._handles.append
        add(called.register_forward_pre_hook(self._before_forward, with_kwargs=True))
        add(called.register_forward_hook(self._after_forward, with_kwargs=True))
        for parameter in self._names:
            if parameter.requires_grad:
                add(parameter.register_post_accumulate_grad_hook(self._after_backward))
        add(optimizer.register_step_pre_hook(self._before_step))
        add(optimizer.register_step_post_hook(self._after_step))

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if not torch.is_grad_enabled():
            self._observer.pass_without_gradient(self._model.training)
            return
        if not self._settings_recorded:
            self._record_settings()
        self._tensors.forward_begins()
        arguments = {**dict(zip(self._parameters_of_forward, args, strict=False)), **kwargs}
        columns = self._workload.train_set.column_names
        batch = {n: arguments[n] for n in columns if isinstance(arguments.get(n), Tensor)}
        ids = self._examples.identify(batch)
        if "labels" not in batch:  # the loop computes the loss outside the model
            batch["labels"] = self._examples.labels_of(ids, batch).to(self._workload.device)
        self._observer.before_forward(self._model, batch, first=not self._micro_batches)
        self._forward = {
            "sample_ids": ids,
            "batch_content": digest.of_batch(batch),
            "rng": digest.of_generators(self._workload.device),
            "labels": batch["labels"],
        }

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`."""
        super().evaluated(scores)
        self._observer.evaluated(scores.metrics.get("loss"))

    def _record_settings(self) -> None:
        """Read the settings while the loader of the first batch is alive."""
        self._settings_recorded = True
        self.counts.settings = live_settings(
            self._model,
            self._optimizer,
            self._workload,
            self._recipe,
            self._steps_expected,
            self._rates,
        )
        self.counts.settings["rng.draws_at_watch"] = self._draws_at_watch
        self._listener.settled(self.counts.settings)

    def _after_forward(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not torch.is_grad_enabled():
            self._observer.after_pass_without_gradient(output["logits"], kwargs.get("labels"))
            return
        if self._forward is None:
            return
        labels = self._forward.pop("labels")
        with torch.no_grad():
            loss = self._workload.loss(output["logits"].float(), labels)
        self._forward["loss"] = loss
        self._observer.after_forward(output["logits"], labels)

    def _after_backward(self, parameter: Tensor) -> None:
        first = self._forward is not None
        if self._forward is not None:
            self._micro_batches.append(self._forward)
            self._forward = None
        self._observer.after_backward(parameter)
        self._tensors.after_backward(parameter, first)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._tensors.finish()
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._learning_rates = list(dict.fromkeys(rates))
        if self._tensors.records_tensors:
            gradients = {
                name: full_tensor(p.grad) for p, name in self._names.items() if p.grad is not None
            }
            self._observer.before_step(gradients, self._tensors.reader)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.counts.steps += 1
        step = self.counts.steps
        for number, micro_batch in enumerate(self._micro_batches, start=1):
            self.counts.micro_batches += 1
            self.counts.samples += len(micro_batch["sample_ids"])
            task_loss = float(micro_batch.pop("loss"))
            self._writer.add(
                "micro_batches",
                step=step,
                micro_batch=number,
                rows=None,
                loss=None,
                task_loss=task_loss,
                **micro_batch,
            )
        self._micro_batches = []
        norms = self._tensors.after_step(step, self._learning_rates)
        self._observer.after_step(step, norms)
        self._listener.after_step(step)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        self._writer.add("logged", step=self.counts.steps, loss=float(loss))

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`. Every row up to the checkpoint is written first."""
        self._tensors.finish()
        super().saved(checkpoint)

    def close(self) -> None:
        """Remove the hooks, and write the rows that are still pending."""
        super().close()
        self._tensors.close()
