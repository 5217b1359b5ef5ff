"""Records side observations of a training run: evidence for why two runs differ.

Nothing here is compared bit for bit. Norms show whether values differ by a factor. The shape of a
batch shows padding. Changes of gradients or weights outside backward pass and update show which
code made them. Like the probe that uses it, it changes nothing and draws no random number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harness.results.record import OBSERVATIONS_KEPT, Counts, Observation, RecordWriter
from harness.tracing.layouts import local_tensor
from harness.tracing.reader import Reader
from harness.tracing.task import Task
from harness.tracing.tensors import held_tensor

__all__ = ["Observer"]

_NORMS_PER_TASK = 16
_MAX_LOGITS = 2**22  # for more elements the gradient of the task's loss is not computed
_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-4}  # relative; other dtypes: 2e-2


class Observer:
    """Writes the traces `circumstances` and `norms`, and counts what a correct loop never does."""

    def __init__(self, writer: RecordWriter, counts: Counts, task: Task | None) -> None:
        self._writer, self._counts, self._task = writer, counts, task
        self._passes_without_gradient = 0
        self._compute_dtype = ""
        self._rows: list[dict[str, Any]] = []
        self._after_update: tuple[Tensor, int] | None = None
        self._after_backward: int | None = None
        self._weight_versions: int | None = None
        self._applied: dict[str, Tensor] = {}
        self._before_update: dict[str, tuple[Tensor, int]] = {}
        self._update_changes_gradients = False
        self._loss_factors: list[Tensor] = []
        self._generator: Tensor | None = None
        self._evaluated: list[tuple[int, float]] = []
        self.sentinel: Tensor | None = None
        """The parameter whose gradient shows whether gradients have changed."""

    def attach(self, names: Mapping[Tensor, str], alone: bool) -> None:
        """Register the parameters `names`; called again if there are more of them.

        `alone`: one process trains; several change gradients while they reduce them.
        """
        self._names, self._alone = dict(names), alone
        trained = [p for p in names if p.requires_grad and not isinstance(p, DTensor)]
        self.sentinel = min(trained, key=Tensor.numel) if trained else None

    def note_dtype_of(self, model: nn.Module) -> list[Any]:
        """Note the type in which a model computes; return the hooks' handles."""
        linear = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
        return [] if linear is None else [linear.register_forward_hook(self._note_dtype)]

    def record_initial_weights(self) -> None:
        """Write the norm of each parameter as a row of step 0."""
        for parameter, name in self._names.items():
            norm = float(torch.linalg.vector_norm(held_tensor(parameter.detach()).float()))
            self._writer.add("norms", step=0, tensor=name, weight=norm, gradient=None, applied=None)

    def begin_pass_without_gradient(self, training: bool) -> None:
        """A forward pass of an evaluation begins."""
        self._passes_without_gradient += 1
        if training:
            self.observe("evaluated_in_training_mode", self._counts.steps)

    def end_pass_without_gradient(self, output: Any, labels: Any) -> None:
        """A forward pass of an evaluation is complete."""
        task = self._task
        if task is None or not isinstance(labels, Tensor):
            return
        logits = task.logits(output, labels)
        if logits is not None:
            num_targets = int((task.targets(labels) != task.ignored).sum())
            with torch.no_grad():
                loss = float(task.loss(logits.float(), labels))
            self._evaluated.append((num_targets, loss))

    def evaluated(self, loss: float | None) -> None:
        """An evaluation is complete; `loss` is the mean that the loop reports for it."""
        passes, self._evaluated = self._evaluated, []
        num_targets = sum(count for count, _ in passes)
        if loss is None or not num_targets:
            return
        over_batches = sum(mean for _, mean in passes) / len(passes)
        over_targets = sum(count * mean for count, mean in passes) / num_targets
        if math.isclose(loss, over_batches, rel_tol=1e-6) and not math.isclose(
            over_targets, over_batches, rel_tol=1e-5
        ):
            self.observe("evaluation_loss_over_batches", self._counts.steps, over_targets)

    def begin_pass(
        self, training: bool, batch: Mapping[str, Tensor], labels: Tensor | None
    ) -> dict[str, Any]:
        """A forward pass with gradients begins; return what is to be known of it.

        If a backward pass reaches it, it is handed to `add_micro_batch`.
        """
        step = self._counts.steps + 1
        self.check_weights(step)
        if (
            self._passes_without_gradient
            and self._generator is not None
            and torch.equal(self._generator, torch.get_rng_state())
        ):
            self.observe("generator_kept_over_evaluation", step)
        self._generator, self._evaluated = None, []
        shapes = (value.shape for name, value in batch.items() if name != "labels")
        shape = next(shapes, None if labels is None else labels.shape)
        counts: dict[str, Any] = {"labels": None, "targets": None}
        if self._task is not None and labels is not None:
            ignored = self._task.ignored
            counts["labels"] = (labels != ignored).sum()
            counts["targets"] = (self._task.targets(labels) != ignored).sum()
        return {
            "training": training,
            "shape": None if shape is None else list(shape),
            "passes_before": self._passes_without_gradient,
            **counts,
        }

    def begin_backward(self, first: bool) -> None:
        """A backward pass begins; `first`: the first one of its update."""
        step = self._counts.steps + 1
        gradient = None if self.sentinel is None else self.sentinel.grad
        if first:
            self.check_weights(step)
            self._check_gradients(step)
            if gradient is not None and _any(gradient):
                self.observe("gradients_left_over", step, self._gradient_norm())
        elif self._after_backward is not None and (gradient is None or not _any(gradient)):
            self.observe("gradients_zeroed_between_backwards", step)
        elif (
            gradient is not None
            and self._alone
            and self._after_backward not in (None, gradient._version)
        ):
            self.observe("gradients_changed_between_backwards", step, self._gradient_norm())

    def add_micro_batch(self, facts: Mapping[str, Any] | None) -> None:
        """A backward pass is complete; `facts`: of its first forward pass, if one was seen."""
        if facts is None:
            return
        self._passes_without_gradient = 0
        if not facts["training"]:
            self.observe("trained_in_evaluation_mode", self._counts.steps + 1)
        self._rows.append(dict(facts))

    def end_pass(self, logits: Tensor, labels: Tensor) -> None:
        """Compare the gradient of the logits in the coming backward pass with the task's loss.

        If the two are parallel, their ratio is the factor by which the loop multiplies the loss.
        """
        task = self._task
        if task is None or not logits.requires_grad or logits.numel() > _MAX_LOGITS:
            return
        with torch.enable_grad():
            own = logits.detach().float().requires_grad_()
            (expected,) = torch.autograd.grad(task.loss(own, labels), own)

        def note(actual: Tensor | None) -> None:
            if actual is None:  # a compiled model may pass its gradient on in another way
                self._loss_factors.append(torch.tensor(math.nan))
                return
            actual = actual.detach().float()
            factor = (actual * expected).sum() / (expected * expected).sum()
            residual = torch.linalg.vector_norm(actual - factor * expected)
            parallel = residual <= tolerance * torch.linalg.vector_norm(actual)
            self._loss_factors.append(torch.where(parallel, factor, math.nan))

        tolerance = _TOLERANCES.get(logits.dtype, 2e-2)
        logits.register_hook(note)

    def after_backward(self) -> None:
        """The gradient of `sentinel` is accumulated."""
        if self.sentinel is not None and self.sentinel.grad is not None:
            self._after_backward = self.sentinel.grad._version

    def before_step(self, gradients: Mapping[str, Tensor], reader: Reader | None) -> None:
        """The update comes next; `gradients` by parameter name.

        `reader` computes their norms during the update, which usually only reads them. If it is
        None, they are computed here.
        """
        if reader is None or self._update_changes_gradients:
            self._take_norms(gradients)
            return
        self._before_update = {name: (g, g._version) for name, g in gradients.items()}
        several = list(gradients.items())
        for start in range(0, len(several), _NORMS_PER_TASK):
            some = dict(several[start : start + _NORMS_PER_TASK])
            reader.submit(partial(self._take_norms, some))

    def applied_in_closure(self, gradients: Mapping[str, Tensor]) -> None:
        """The update made its gradients itself, in a closure; `gradients` are those it used."""
        self._before_update, self._applied = {}, {}
        self._take_norms(gradients)

    def _take_norms(self, gradients: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            self._applied[name] = torch.linalg.vector_norm(gradient)

    def after_step(self, step: int, norms: Mapping[str, Tensor]) -> None:
        """The update is complete and the reader idle; `norms`: of the raw gradients, by name."""
        for number, row in enumerate(self._rows, start=1):
            counts = {name: row.pop(name) for name in ("labels", "targets")}
            counts = {name: None if many is None else int(many) for name, many in counts.items()}
            dtype = self._compute_dtype
            self._writer.add(
                "circumstances",
                step=step,
                micro_batch=number,
                compute_dtype=dtype,
                **counts,
                **row,
            )
        for name, (gradient, version) in self._before_update.items():
            if gradient._version != version:  # the norm mixes old and new elements
                self._applied.pop(name)
                self._update_changes_gradients = True
        self._before_update = {}
        raw, applied = _as_numbers(norms), _as_numbers(self._applied)
        names = [name for name in self._names.values() if name in raw or name in applied]
        self._writer.add_rows(
            "norms",
            len(names),
            step=step,
            tensor=names,
            weight=None,
            gradient=[raw.get(name) for name in names],
            applied=[applied.get(name) for name in names],
        )
        self._note_loss_factor(step)
        self._rows, self._applied, self._after_backward = [], {}, None
        self._generator = torch.get_rng_state()
        last = None if self.sentinel is None else self.sentinel.grad
        self._after_update = None if last is None else (last, last._version)
        if self._alone:
            self._weight_versions = sum(parameter._version for parameter in self._names)

    def forget(self) -> None:
        """Hold no tensor any more."""
        self._names, self._sentinel, self._after_update = {}, None, None
        self._applied, self._before_update, self._loss_factors = {}, {}, []

    def _check_gradients(self, step: int) -> None:
        """Record whether gradients have changed since the last update."""
        if self._after_update is not None:
            gradient, version = self._after_update
            if gradient._version != version and _any(gradient):
                self.observe("gradients_changed_after_update", step - 1)
            elif gradient._version > version + 1:
                self.observe("gradients_changed_before_zeroing", step - 1)
            self._after_update = None

    def check_weights(self, step: int) -> None:
        """Record whether weights have changed since the update before `step`."""
        before, self._weight_versions = self._weight_versions, None
        if before is not None and before != sum(each._version for each in self._names):
            self.observe("weights_changed_outside_update", step - 1)

    def _note_loss_factor(self, step: int) -> None:
        """Record by what factor the update's loss differs from the mean over its micro-batches.

        Nothing is recorded if a loss is no multiple of the task's loss, or if the factors of the
        micro-batches differ.
        """
        factors = [float(factor) for factor in self._loss_factors]
        self._loss_factors = []
        of_update = factors[0] * len(factors) if factors else math.nan
        same = all(math.isclose(one, factors[0], rel_tol=1e-3) for one in factors)
        if same and math.isfinite(of_update) and not math.isclose(of_update, 1, rel_tol=1e-3):
            self.observe("loss_scaled", step, of_update)

    def _gradient_norm(self) -> float:
        # Of this process alone: the others may have nothing to observe, and would not answer.
        gradients = [local_tensor(p.grad) for p in self._names if p.grad is not None]
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
        return float(torch.linalg.vector_norm(torch.stack(norms)))

    def observe(self, what: str, step: int, value: float | None = None) -> None:
        """Count an observation, with its step and perhaps a number."""
        kept = self._counts.observed.setdefault(what, [])
        if len(kept) < OBSERVATIONS_KEPT and (not kept or kept[-1].step != step):
            kept.append(Observation(step=step, value=value))

    def _note_dtype(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.is_grad_enabled() and isinstance(output, Tensor):
            self._compute_dtype = str(output.dtype).removeprefix("torch.")


def _any(gradient: Tensor) -> bool:
    """Whether any element differs from zero."""
    return bool(local_tensor(gradient).any())


def _as_numbers(norms: Mapping[str, Tensor]) -> dict[str, float]:
    """The norms as numbers, in one copy to the host."""
    if not norms:
        return {}
    return dict(zip(norms, torch.stack(list(norms.values())).tolist(), strict=True))
