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
from harness.tracing.reader import Reader
from harness.training.workload import IGNORED, Workload

__all__ = ["Observer"]

_NORMS_PER_TASK = 16
_MAX_LOGITS = 2**22  # for more elements the gradient of the task's loss is not computed
_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-4}  # relative; other dtypes: 2e-2


class Observer:
    """Writes the traces `circumstances` and `norms`, and counts what a correct loop never does."""

    def __init__(self, writer: RecordWriter, counts: Counts, workload: Workload) -> None:
        self._writer, self._counts, self._workload = writer, counts, workload
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

    def attach(self, model: nn.Module, compiled: bool, names: Mapping[Tensor, str]) -> list[Any]:
        """Register the parameters `names`; return the hooks' handles, none in a compiled model."""
        self._names = names
        trained = [p for p in names if p.requires_grad and not isinstance(p, DTensor)]
        self._sentinel = min(trained, key=Tensor.numel) if trained else None
        linear = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
        if compiled or linear is None:
            return []
        return [linear.register_forward_hook(self._note_dtype)]

    def record_initial_weights(self) -> None:
        """Write the norm of each parameter as a row of step 0."""
        for parameter, name in self._names.items():
            weight = parameter.detach()
            weight = weight.full_tensor() if isinstance(weight, DTensor) else weight
            norm = float(torch.linalg.vector_norm(weight.float()))
            self._writer.add("norms", step=0, tensor=name, weight=norm, gradient=None, applied=None)

    def pass_without_gradient(self, training: bool) -> None:
        """A forward pass of an evaluation begins."""
        self._passes_without_gradient += 1
        if training:
            self._observe("evaluated_in_training_mode", self._counts.steps)

    def after_pass_without_gradient(self, logits: Tensor, labels: Any) -> None:
        """A forward pass of an evaluation is complete."""
        if isinstance(labels, Tensor):
            num_targets = int((self._workload.targets(labels) != IGNORED).sum())
            with torch.no_grad():
                loss = float(self._workload.loss(logits.float(), labels))
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
            self._observe("evaluation_loss_over_batches", self._counts.steps, over_targets)

    def before_forward(self, model: nn.Module, batch: Mapping[str, Tensor], first: bool) -> None:
        """A forward pass of the training begins; `first`: the first one of its update."""
        labels = batch["labels"]
        shape = next((v.shape for name, v in batch.items() if name != "labels"), labels.shape)
        self._rows.append(
            {
                "training": model.training,
                "shape": list(shape),
                "labels": (labels != IGNORED).sum(),
                "targets": (self._workload.targets(labels) != IGNORED).sum(),
                "passes_before": self._passes_without_gradient,
            }
        )
        step = self._counts.steps + 1
        if (
            self._passes_without_gradient
            and self._generator is not None
            and torch.equal(self._generator, torch.get_rng_state())
        ):
            self._observe("generator_kept_over_evaluation", step)
        self._passes_without_gradient, self._generator, self._evaluated = 0, None, []
        if not model.training:
            self._observe("trained_in_evaluation_mode", step)
        gradient = None if self._sentinel is None else self._sentinel.grad
        if first:
            self._check_since_last_update(step)
            if gradient is not None and bool(gradient.any()):
                self._observe("gradients_left_over", step, self._gradient_norm())
        elif self._after_backward is not None and (gradient is None or not bool(gradient.any())):
            self._observe("gradients_zeroed_between_backwards", step)
        elif (
            gradient is not None
            and self._workload.world_size == 1
            and self._after_backward not in (None, gradient._version)
        ):
            self._observe("gradients_changed_between_backwards", step, self._gradient_norm())

    def after_forward(self, logits: Tensor, labels: Tensor) -> None:
        """Compare the gradient of the logits in the coming backward pass with the task's loss.

        If the two are parallel, their ratio is the factor by which the loop multiplies the loss.
        """
        if not logits.requires_grad or logits.numel() > _MAX_LOGITS:
            return
        with torch.enable_grad():
            own = logits.detach().float().requires_grad_()
            (expected,) = torch.autograd.grad(self._workload.loss(own, labels), own)

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

    def after_backward(self, parameter: Tensor) -> None:
        """The gradient of `parameter` is accumulated."""
        if parameter is self._sentinel and parameter.grad is not None:
            self._after_backward = parameter.grad._version

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

    def _take_norms(self, gradients: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            self._applied[name] = torch.linalg.vector_norm(gradient)

    def after_step(self, step: int, norms: Mapping[str, Tensor]) -> None:
        """The update is complete and the reader idle; `norms`: of the raw gradients, by name."""
        for number, row in enumerate(self._rows, start=1):
            counts = {name: int(row.pop(name)) for name in ("labels", "targets")}
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
        last = None if self._sentinel is None else self._sentinel.grad
        self._after_update = None if last is None else (last, last._version)
        if self._workload.world_size == 1:
            self._weight_versions = sum(parameter._version for parameter in self._names)

    def _check_since_last_update(self, step: int) -> None:
        """Record whether gradients or weights have changed since the last update."""
        if self._after_update is not None:
            gradient, version = self._after_update
            if gradient._version != version and bool(gradient.any()):
                self._observe("gradients_changed_after_update", step - 1)
            elif gradient._version > version + 1:
                self._observe("gradients_changed_before_zeroing", step - 1)
            self._after_update = None
        versions = sum(parameter._version for parameter in self._names)
        if self._weight_versions not in (None, versions):
            self._observe("weights_changed_outside_update", step - 1)
        self._weight_versions = None

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
            self._observe("loss_scaled", step, of_update)

    def _gradient_norm(self) -> float:
        gradients = [p.grad for p in self._names if p.grad is not None]
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
        return float(torch.linalg.vector_norm(torch.stack(norms)))

    def _observe(self, what: str, step: int, value: float | None = None) -> None:
        kept = self._counts.observed.setdefault(what, [])
        if len(kept) < OBSERVATIONS_KEPT and (not kept or kept[-1].step != step):
            kept.append(Observation(step=step, value=value))

    def _note_dtype(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.is_grad_enabled() and isinstance(output, Tensor):
            self._compute_dtype = str(output.dtype).removeprefix("torch.")


def _as_numbers(norms: Mapping[str, Tensor]) -> dict[str, float]:
    """The norms as numbers, in one copy to the host."""
    if not norms:
        return {}
    return dict(zip(norms, torch.stack(list(norms.values())).tolist(), strict=True))
