"""Watches a training loop from outside, by PyTorch's own hooks, and so sees every loop alike.

A loop says once which model and optimizer it uses; from then on nothing asks for its help. The
trace probe records values and declines to measure time; the timing probe records times and
declines to look at values. Neither changes a bit of what is computed, nor draws a random number.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from harness import fingerprint
from harness.circumstances import Circumstances
from harness.live_settings import draws_since_seed, live_settings
from harness.record import Counts, Evaluation, RecordWriter
from harness.sketch import Sketches
from harness.spec import RunSpec
from harness.workload import Examples, Scores, Workload

__all__ = ["Listener", "Probe", "TimingProbe", "TraceProbe"]


class Probe(Protocol):
    """What a loop knows of its observer."""

    def watch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """To be called once, after the optimizer is made and before the first step.

        `rates`: the learning rate of each step, where no scheduler of torch's sets it.
        """

    def logged(self, loss: float | Tensor) -> None:
        """To be called after each update with the loss that the loop shows its user."""

    def evaluated(self, scores: Scores) -> None:
        """To be called after each evaluation amid the training."""

    def remedied(self, what: str) -> None:
        """To be called where a loop works around a fault of its framework; the report says so."""

    def saved(self, checkpoint: Path) -> None:
        """To be called after each checkpoint, a file or folder in the workload's `output_dir`."""


class Listener:
    """Hears of each step and of each checkpoint; by itself it does nothing."""

    def before_step(self, step: int) -> None:
        """The gradients of update `step`, counted from 1, are there, and it is about to be made."""

    def after_step(self, step: int) -> None:
        """Update `step` is made and recorded."""

    def settled(self, settings: dict[str, Any]) -> None:
        """The first step is about to begin with these settings; see `live_settings.py`."""

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""


class _HookedProbe:
    """Registers hooks on a model and its optimizer; subclasses say what the hooks do."""

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        workload: Workload,
        counts: Counts | None = None,
    ) -> None:
        """`counts`: goes on from there, for a run that is resumed; None: from nothing."""
        self.counts = Counts() if counts is None else counts
        self._workload = workload
        self._writer = writer
        self._listener = listener
        self._handles: list[Any] = []

    def watch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Wrappers around either are looked through."""
        if self._handles:
            raise RuntimeError("a probe watches one training; make a new one for another")
        self._rates = rates
        inner = _unwrapped_model(model)
        # Hooks on a compiled model's inside would be compiled along; on its outside they are not.
        compiled = _compiled(model)
        called = inner if compiled is None else compiled
        trained = [p for p in inner.parameters() if p.requires_grad]
        self.counts.parameters = sum(p.numel() for p in trained)
        self._attach(inner, called, _unwrapped_optimizer(optimizer))
        self._handles.append(
            _unwrapped_optimizer(optimizer).register_step_pre_hook(self._tell_before_step)
        )

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`. Not every loop tells the loss, so it is kept apart."""
        of_loss = {"loss", *self._workload.loss_metrics}
        found = Evaluation(
            step=self.counts.steps,
            rows=scores.rows,
            metrics={k: v for k, v in scores.metrics.items() if k not in of_loss},
            loss_metrics={k: v for k, v in scores.metrics.items() if k in of_loss},
        )
        self.counts.evaluations.append(found)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. What was said once, before a resume, is not said again."""
        if what not in self.counts.remedies:
            self.counts.remedies.append(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        self._listener.saved(checkpoint)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored, unless values are recorded."""

    def close(self) -> None:
        """Take the hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """`model` holds the parameters; `called` is it, or what it was compiled to."""
        raise NotImplementedError

    def _tell_before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._listener.before_step(self.counts.steps + 1)


class TimingProbe(_HookedProbe):
    """Seconds from the end of one optimizer step to the end of the next."""

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self._since = time.perf_counter()
        self._handles.append(
            called.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        )
        self._handles.append(optimizer.register_step_post_hook(self._after_step))

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if torch.is_grad_enabled():
            self.counts.micro_batches += 1
            batch = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            self.counts.samples += len(batch)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        now = time.perf_counter()
        self.counts.steps += 1
        self._writer.add("timings", step=self.counts.steps, step_s=now - self._since)
        self._listener.after_step(self.counts.steps)
        self._since = now


class TraceProbe(_HookedProbe):
    """Digests of everything that a step computes, each written as soon as the step is over.

    A micro-batch is the last forward pass with gradients before a backward pass. Gradients are
    read as autograd leaves them, before a loop can clip or scale them: after each backward pass the
    digest covers what has accumulated so far, so the last one before a step counts. Where several
    processes train together they are read when the backward pass is over and they are reduced.
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
        """`steps_expected`: updates that the recipe of `spec` asks for."""
        super().__init__(writer, listener, workload, counts)
        self._sketches = Sketches() if spec.sketch else None
        self._recipe, self._steps_expected = spec.recipe, steps_expected
        self._circumstances = Circumstances(writer, self.counts, workload)
        self._settled = False
        self._examples = Examples(workload.train_set)
        self._names: dict[Tensor, str] = {}
        self._parameters_of_forward: list[str] = []
        self._forward: dict[str, Any] | None = None
        self._micro_batches: list[dict[str, Any]] = []
        self._gradients: dict[str, int] = {}
        self._norms: dict[str, Tensor] = {}

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self._names = {tensor: name for name, tensor in model.named_parameters()}
        self._buffers = dict(model.named_buffers())
        self._parameters_of_forward = list(inspect.signature(model.forward).parameters)
        self._model, self._optimizer = model, optimizer
        self._draws_at_watch = draws_since_seed()
        self._handles += self._circumstances.attach(model, called is not model, self._names)
        if not self.counts.steps:  # else the record of the run that is resumed has them
            self._circumstances.record_initial_weights()
            weights = self._record_tensors(0, optimizer)["weights"]
            self.counts.initial_weights = f"{weights:016x}"
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
            self._circumstances.pass_without_gradient(self._model.training)
            return
        if not self._settled:
            self._settle()
        given = {**dict(zip(self._parameters_of_forward, args, strict=False)), **kwargs}
        columns = self._workload.train_set.column_names
        batch = {name: given[name] for name in columns if isinstance(given.get(name), Tensor)}
        ids = self._examples.identify(batch)
        if "labels" not in batch:  # the loop keeps them, to compute the loss outside the model
            batch["labels"] = self._examples.labels_of(ids, batch).to(self._workload.device)
        self._circumstances.before_forward(self._model, batch, first=not self._micro_batches)
        self._forward = {
            "sample_ids": ids,
            "batch_content": fingerprint.of_batch(batch),
            "rng": fingerprint.of_generators(self._workload.device),
            "labels": batch["labels"],
        }

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`."""
        super().evaluated(scores)
        self._circumstances.evaluated(scores.metrics.get("loss"))

    def _settle(self) -> None:
        """Read the settings while the loader of the first batch is alive."""
        self._settled = True
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
            self._circumstances.after_pass_without_gradient(output["logits"], kwargs.get("labels"))
            return
        if self._forward is None:
            return
        labels = self._forward.pop("labels")
        with torch.no_grad():
            loss = self._workload.loss(output["logits"].float(), labels)
        self._forward["loss"] = loss
        self._circumstances.after_forward(output["logits"], labels)

    def _after_backward(self, parameter: Tensor) -> None:
        # Several processes reduce them later, and a device digests them all in few launches.
        together = self._workload.world_size > 1 or self._workload.device.type != "cpu"
        if self._forward is not None:  # the first gradient of this backward pass
            self._micro_batches.append(self._forward)
            self._forward = None
            if together:
                _at_the_very_end_of_backward(self._read_gradients)
        if not together:
            assert parameter.grad is not None
            name = self._names[parameter]
            self._gradients[name] = fingerprint.of_tensor(parameter.grad)
            self._norms[name] = torch.linalg.vector_norm(parameter.grad)
        self._circumstances.after_backward(parameter)

    def _read_gradients(self) -> None:
        found = {name: _whole(p.grad) for p, name in self._names.items() if p.grad is not None}
        digests = fingerprint.of_parameters([(gradient, {}) for gradient in found.values()])
        for (name, gradient), (digest, _) in zip(found.items(), digests, strict=True):
            self._gradients[name] = digest
            self._norms[name] = torch.linalg.vector_norm(gradient)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._learning_rates = list(dict.fromkeys(rates))
        self._circumstances.before_step(
            {n: _whole(p.grad) for p, n in self._names.items() if p.grad is not None}
        )

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.counts.steps += 1
        step = self.counts.steps
        for number, micro_batch in enumerate(self._micro_batches, start=1):
            self.counts.micro_batches += 1
            self.counts.samples += len(micro_batch["sample_ids"])
            loss = float(micro_batch.pop("loss"))
            self._writer.add(
                "micro_batches", step=step, micro_batch=number, loss=loss, **micro_batch
            )
        # In the model's order, and as `clip_grad_norm_` does: the norm of the tensors' norms.
        norms = [self._norms[name] for name in self._names.values() if name in self._norms]
        norm = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
        self._writer.add(
            "steps",
            step=step,
            learning_rate=self._learning_rates,
            grad_norm=norm,
            **self._record_tensors(step, optimizer),
        )
        self._circumstances.after_step(step, self._norms)
        self._micro_batches, self._gradients, self._norms = [], {}, {}
        self._listener.after_step(step)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        self._writer.add("logged", step=self.counts.steps, loss=float(loss))

    def _record_tensors(self, step: int, optimizer: torch.optim.Optimizer) -> dict[str, int]:
        """Write one row a parameter or buffer; return the digest of each column."""
        columns: dict[str, list[int]] = {"gradients": [], "weights": [], "optimizer_state": []}
        named = {name: tensor for tensor, name in self._names.items()} | self._buffers
        digests_of = fingerprint.of_parameters(
            [
                (
                    _whole(tensor),
                    {key: _whole(value) for key, value in optimizer.state.get(tensor, {}).items()},
                )
                for tensor in named.values()
            ]
        )
        for name, (weight, state) in zip(named, digests_of, strict=True):
            gradient = self._gradients.get(name, 0)
            self._writer.add(
                "tensors",
                step=step,
                tensor=name,
                gradient=gradient,
                weight=weight,
                optimizer_state=state,
            )
            columns["gradients"].append(gradient)
            columns["weights"].append(weight)
            columns["optimizer_state"].append(state)
        if self._sketches is not None:
            for tensor, name in self._names.items():
                sums = self._sketches.of(name, tensor)
                self._writer.add("sketches", step=step, tensor=name, sketch=sums)
        return {name: fingerprint.combined(digests) for name, digests in columns.items()}


def _whole(value: Any) -> Any:
    """A tensor of which each process holds a share, put together; all must ask for it alike."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _at_the_very_end_of_backward(action: Callable[[], None]) -> None:
    """Have autograd call `action` after all else that is to follow the backward pass under way.

    `DistributedDataParallel` waits for the reduced gradients in a callback that it queues during
    the backward pass; one that is queued by a callback comes after all of those.
    """
    queue = torch.autograd.Variable._execution_engine.queue_callback
    queue(lambda: queue(action))


def _unwrapped_model(model: nn.Module) -> nn.Module:
    """The module inside `DistributedDataParallel` and `torch.compile`."""
    if isinstance(model, DistributedDataParallel):
        return _unwrapped_model(model.module)
    inner = getattr(model, "_orig_mod", None)
    return _unwrapped_model(inner) if isinstance(inner, nn.Module) else model


def _compiled(model: nn.Module) -> nn.Module | None:
    """The compiled module among `model` and what it wraps."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        return model
    return _compiled(model.module) if isinstance(model, DistributedDataParallel) else None


def _unwrapped_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside Accelerate's wrapper, whose own `step` calls it."""
    inner = getattr(optimizer, "optimizer", None)
    return _unwrapped_optimizer(inner) if isinstance(inner, torch.optim.Optimizer) else optimizer
