"""Observes what surrounds a training's values: evidence for why two runs differ, not that they do.

Nothing here is compared bit for bit. Norms tell a factor from a mere other value; the shape of a
batch tells padding from other rows; what was done to gradients or weights outside backward pass and
update tells who did it. As the probe that it helps, it changes nothing and draws no number.
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

__all__ = ["Circumstances"]

_NORMS_AT_ONCE = 16
_LOGITS = 2**22  # no gradient is computed twice of more numbers than these
_EXACT = {torch.float32: 1e-4, torch.float64: 1e-4}  # relative; others round to three digits


class Circumstances:
    """Writes the traces `circumstances` and `norms`, and notes what no loop should do."""

    def __init__(self, writer: RecordWriter, counts: Counts, workload: Workload) -> None:
        self._writer, self._counts, self._workload = writer, counts, workload
        self._passes_without_gradient = 0
        self._compute_dtype = ""
        self._rows: list[dict[str, Any]] = []
        self._after_update: tuple[Tensor, int] | None = None
        self._after_backward: int | None = None
        self._weight_versions: int | None = None
        self._applied: dict[str, Tensor] = {}
        self._given: dict[str, tuple[Tensor, int]] = {}
        self._update_changes_gradients = False
        self._loss_factors: list[Tensor] = []
        self._generator: Tensor | None = None
        self._evaluated: list[tuple[int, float]] = []

    def attach(self, model: nn.Module, compiled: bool, names: Mapping[Tensor, str]) -> list[Any]:
        """Begin; return the handles of hooks. Inside a compiled model there are none."""
        self._names = names
        trained = [p for p in names if p.requires_grad and not isinstance(p, DTensor)]
        self._sentinel = min(trained, key=Tensor.numel) if trained else None
        linear = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
        if compiled or linear is None:
            return []
        return [linear.register_forward_hook(self._note_dtype)]

    def record_initial_weights(self) -> None:
        """One row a parameter, at step 0."""
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
        """A forward pass of an evaluation is over."""
        if isinstance(labels, Tensor):
            asked = int((self._workload.targets(labels) != IGNORED).sum())
            with torch.no_grad():
                loss = float(self._workload.loss(logits.float(), labels))
            self._evaluated.append((asked, loss))

    def evaluated(self, loss: float | None) -> None:
        """An evaluation is over, of which the loop tells this mean loss."""
        passes, self._evaluated = self._evaluated, []
        answers = sum(asked for asked, _ in passes)
        if loss is None or not answers:
            return
        over_batches = sum(each for _, each in passes) / len(passes)
        over_rows = sum(asked * each for asked, each in passes) / answers
        if math.isclose(loss, over_batches, rel_tol=1e-6) and not math.isclose(
            over_rows, over_batches, rel_tol=1e-5
        ):
            self._observe("evaluation_loss_over_batches", self._counts.steps, over_rows)

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
            self._look_back(step)
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
        """Logits and labels of a forward pass of the training; its backward pass is to come.

        The gradient that the logits will be given tells what the loop makes of the task's loss.
        """
        if not logits.requires_grad or logits.numel() > _LOGITS:
            return
        with torch.enable_grad():
            own = logits.detach().float().requires_grad_()
            (expected,) = torch.autograd.grad(self._workload.loss(own, labels), own)

        def note(given: Tensor | None) -> None:
            if given is None:  # a compiled model may hand its gradient on by another way
                self._loss_factors.append(torch.tensor(math.nan))
                return
            given = given.detach().float()
            factor = (given * expected).sum() / (expected * expected).sum()
            apart = torch.linalg.vector_norm(given - factor * expected)
            exact = apart <= tolerance * torch.linalg.vector_norm(given)
            self._loss_factors.append(torch.where(exact, factor, math.nan))

        tolerance = _EXACT.get(logits.dtype, 2e-2)
        logits.register_hook(note)

    def after_backward(self, parameter: Tensor) -> None:
        """A gradient was accumulated."""
        if parameter is self._sentinel and parameter.grad is not None:
            self._after_backward = parameter.grad._version

    def before_step(self, gradients: Mapping[str, Tensor], reader: Reader | None) -> None:
        """An update is about to be made with these gradients.

        `reader`: takes their norms while the update is made, which as a rule only reads them; None:
        they are taken at once.
        """
        if reader is None or self._update_changes_gradients:
            self._take_norms(gradients)
            return
        self._given = {name: (g, g._version) for name, g in gradients.items()}
        several = list(gradients.items())
        for start in range(0, len(several), _NORMS_AT_ONCE):
            some = dict(several[start : start + _NORMS_AT_ONCE])
            reader.submit(partial(self._take_norms, some))

    def _take_norms(self, gradients: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            self._applied[name] = torch.linalg.vector_norm(gradient)

    def after_step(self, step: int, norms: Mapping[str, Tensor]) -> None:
        """The update is made, the reader has done; `norms`: of the raw gradients."""
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
        for name, (given, version) in self._given.items():
            if given._version != version:  # what was read is neither the old nor the new one
                self._applied.pop(name)
                self._update_changes_gradients = True
        self._given = {}
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
        gradient = None if self._sentinel is None else self._sentinel.grad
        self._after_update = None if gradient is None else (gradient, gradient._version)
        if self._workload.world_size == 1:
            self._weight_versions = sum(parameter._version for parameter in self._names)

    def _look_back(self, step: int) -> None:
        """Whether somebody changed gradients or weights since the last update."""
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
        """What the losses of the update were multiplied by, where that is not their mean.

        Nothing where they are no multiples of the task's loss, or not all the same.
        """
        factors = [float(factor) for factor in self._loss_factors]
        self._loss_factors = []
        whole = factors[0] * len(factors) if factors else math.nan
        same = all(math.isclose(one, factors[0], rel_tol=1e-3) for one in factors)
        if same and math.isfinite(whole) and not math.isclose(whole, 1, rel_tol=1e-3):
            self._observe("loss_scaled", step, whole)

    def _gradient_norm(self) -> float:
        found = [p.grad for p in self._names if p.grad is not None]
        norms = [torch.linalg.vector_norm(gradient) for gradient in found]
        return float(torch.linalg.vector_norm(torch.stack(norms)))

    def _observe(self, what: str, step: int, value: float | None = None) -> None:
        kept = self._counts.observed.setdefault(what, [])
        if len(kept) < OBSERVATIONS_KEPT and (not kept or kept[-1].step != step):
            kept.append(Observation(step=step, value=value))

    def _note_dtype(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.is_grad_enabled() and isinstance(output, Tensor):
            self._compute_dtype = str(output.dtype).removeprefix("torch.")


def _as_numbers(norms: Mapping[str, Tensor]) -> dict[str, float]:
    """All copied to the host at once."""
    if not norms:
        return {}
    return dict(zip(norms, torch.stack(list(norms.values())).tolist(), strict=True))
