"""The base of every probe: it notices forward passes, backward passes and updates.

It knows modules, optimizers and tensors, and nothing about what is trained. An update ("step") is
the run of optimizer steps that no backward pass separates. With one optimizer it ends with that
optimizer's step. With several it ends with the step of the last one, or when the next pass begins.
A micro-batch is an outermost backward pass, with the forward passes that it goes back through. A
further backward pass through the same forward passes, as of a second loss, belongs to it too.

An error in a probe is a fault of the harness. It never reaches the training: the probe stops
recording, and `counts.probe_fault` states what failed.

More than 300 lines: the methods share the state of the current update.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.errors import SpecError
from harness.results.record import Counts, Evaluation, RecordWriter
from harness.tracing import backward, steps
from harness.tracing.by_hand import ByHand
from harness.tracing.forward import ForwardPass, ForwardWatch
from harness.tracing.listener import Listener, StopTraining
from harness.tracing.names import WatchedNames
from harness.tracing.optimizers import WatchedOptimizers, living_optimizers
from harness.tracing.passes import Passes
from harness.tracing.wrappers import compiled_form, unwrapped_model, unwrapped_optimizer

__all__ = ["HookedProbe", "Scored"]


class Scored(Protocol):
    """The result of an evaluation."""

    @property
    def rows(self) -> int: ...

    @property
    def metrics(self) -> dict[str, float]: ...


class HookedProbe:
    """Notices what a training does; subclasses define what is recorded."""

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        counts: Counts | None = None,
        loss_metrics: frozenset[str] = frozenset(),
    ) -> None:
        """`counts`: the counts of the run that is resumed; None for a new run. `loss_metrics`:
        evaluation metrics that not every loop reports, besides `loss`."""
        self.counts = Counts() if counts is None else counts
        self._writer, self._listener = writer, listener
        self._loss_metrics = loss_metrics | {"loss"}
        self._names = WatchedNames()
        self._rates: Sequence[float] | None = None
        self._forward = ForwardWatch(self, self._safely)
        self._handles: list[Any] = []
        self._optimizers = WatchedOptimizers(self._names, self.counts.optimizers)
        self._listens = self._started = self._closed = False
        # Of the current update.
        self._passes = Passes()
        self._micro_batches = 0
        self._stepped: list[torch.optim.Optimizer] = []
        self._kept: list[torch.optim.Optimizer] = []
        self._stepping: torch.optim.Optimizer | None = None
        self._call_of_step = 0
        self._by_hand: ByHand | None = None
        self._backward_in_step = False
        self._loss: Tensor | None = None

    # What a loop or a tracer calls.

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Raises `SpecError` for an optimizer that is None."""
        if any(optimizer is None for optimizer in optimizers):
            raise SpecError(
                "the probe watches an optimizer",
                "None",
                "call probe.watch after the optimizer is built; with the Trainer, in "
                "on_train_begin of a callback",
            )
        self._rates = rates if rates is not None else self._rates
        self.add(model, *optimizers)
        self._start()

    def add(
        self, model: nn.Module | Mapping[str, Tensor], *optimizers: torch.optim.Optimizer
    ) -> None:
        """Watch a model and optimizers; may be called again at any time.

        Wrappers around a model or an optimizer are removed first. `model` may be named tensors, if
        no module owns them. An optimizer that updates a watched parameter is noticed anyway, at the
        latest when it steps.
        """
        if isinstance(model, nn.Module):
            inner = unwrapped_model(model)
            if self._names.add(inner):
                # Hooks on the inner module of a compiled model would be compiled.
                compiled = compiled_form(model)
                self._forward.add(inner, inner if compiled is None else compiled)
        else:
            self._names.add_tensors(model)
        for optimizer in optimizers:
            self._end_update_by_hand()
            self._by_hand = optimizer if isinstance(optimizer, ByHand) else None
            self._optimizers.add(unwrapped_optimizer(optimizer))
        if not self._listens:
            self._listens = True
            steps.listen(self)
            backward.listen(self)
        self._count_parameters()
        self._safely(self._watched)

    def passed(self, passes: Sequence[ForwardPass]) -> None:
        """Take over forward passes that were complete before `add`, as far as they are of watched
        models: of modules inside them, or of what holds nothing else."""
        for one in passes:
            inside = set(one.module.modules())
            for model in self._names.models:
                if model in inside or one.module in set(model.modules()):
                    one.model = model
                    self._passes.append(one)
                    break

    @property
    def is_mixed(self) -> bool:
        """Whether modules own some of the watched parameters, and none owns the others."""
        return self._names.is_mixed

    def _count_parameters(self) -> None:
        if self._names.complete():
            trained = (p for p in self._names.parameters.values() if p.requires_grad)
            self.counts.parameters = sum(p.numel() for p in trained)

    def evaluated(self, scores: Scored) -> None:
        """See `Probe.evaluated`. Loss metrics are separate, since not every loop reports them."""
        self._end_update()
        metrics = scores.metrics
        evaluation = Evaluation(
            step=self.counts.steps,
            rows=scores.rows,
            metrics={k: v for k, v in metrics.items() if k not in self._loss_metrics},
            loss_metrics={k: v for k, v in metrics.items() if k in self._loss_metrics},
        )
        self.counts.evaluations.append(evaluation)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. A remedy that is recorded already, before a resume, is skipped."""
        if what not in self.counts.remedies:
            self.counts.remedies.append(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        self._end_update()
        self._listener.saved(checkpoint)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored here; a probe that records values overrides it."""

    def close(self) -> None:
        """End the last update, and remove the hooks."""
        with suppress(StopTraining):  # nothing more would be trained
            self._end_update_by_hand()
            self._end_update()
        self._detach()

    def detach(self) -> None:
        """Remove the hooks and record nothing more, as in a process that was forked."""
        self._detach()

    # What subclasses define.

    def _watched(self) -> None:
        """A model or an optimizer is added."""

    def _begin_training(self) -> None:
        """The first pass with gradients begins, or the first step."""

    def _begin_pass(self, one: ForwardPass) -> None:
        """A forward pass begins."""

    def _end_pass(self, one: ForwardPass, output: Any) -> None:
        """A forward pass is complete."""

    def _begin_backward(self, roots: Sequence[Tensor]) -> None:
        """An outermost backward pass begins at `roots`."""

    def _add_micro_batch(self, passes: Sequence[ForwardPass], loss: Tensor | None) -> None:
        """A backward pass that reached watched parameters is complete; `loss`: its scalar."""

    def _add_backward(self, number: int, loss: Tensor | None, again: bool) -> None:
        """A further backward pass of micro-batch `number` of this update is complete.

        `again`: its scalar has gone backward in this update before.
        """

    def _begin_update(self) -> None:
        """The first optimizer of an update is about to step."""

    def _begin_step(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer is about to step; weights are those before it."""

    def _end_step(self, optimizer: torch.optim.Optimizer, with_backward: bool) -> None:
        """An optimizer has stepped; `with_backward`: its closure made a backward pass."""

    def _record_update(self, step: int) -> None:
        """The update is complete."""

    def _reached(self) -> bool:
        """Whether the backward pass that ends reached a watched parameter."""
        return True

    # Events.

    def pass_begins(self, one: ForwardPass) -> None:
        """See `ForwardListener`."""
        self._end_update_by_hand()
        if self._stepping is None:
            self._end_update()
        if one.with_gradient:
            self._start()
            self._passes.append(one)
        self._safely(self._begin_pass, one)

    def pass_ends(self, one: ForwardPass, output: Any) -> None:
        """See `ForwardListener`."""
        self._safely(self._end_pass, one, output)

    def backward_begins(self, roots: Sequence[Tensor]) -> None:
        """See `BackwardListener`."""
        self._end_update_by_hand()
        if self._stepping is None:
            self._end_update()
        self._start()
        self._passes.begin_backward(roots)
        self._safely(self._keep_loss, roots)
        self._safely(self._begin_backward, roots)

    def _keep_loss(self, roots: Sequence[Tensor]) -> None:
        scalars = [root.detach() for root in roots if root.numel() == 1]
        # A copy: a script may change its loss in place afterwards.
        self._loss = scalars[0].clone() if len(scalars) == len(roots) == 1 else None

    def backward_ends(self) -> None:
        """See `BackwardListener`."""
        self._backward_in_step = self._backward_in_step or self._stepping is not None
        self._safely(self._close_backward)

    def _close_backward(self) -> None:
        loss, self._loss = self._loss, None
        if not self._reached():
            return
        number = self._passes.micro_batch
        if number is not None:
            self._add_backward(number, loss, self._passes.root_again)
        else:
            self._micro_batches += 1
            self.counts.micro_batches += 1
            self._add_micro_batch(self._passes.begin_micro_batch(self._micro_batches), loss)
        self._forward.narrow()
        if self._by_hand is not None:
            self._by_hand.backward_ended(self._names.parameters)

    def _end_update_by_hand(self) -> None:
        """Count the update that a script has made itself since the backward pass, if it did."""
        if self._by_hand is not None and self._started and not self._closed:
            self._safely(self._count_update_by_hand, self._by_hand)

    def _count_update_by_hand(self, optimizer: ByHand) -> None:
        if optimizer.has_updated(self._names.parameters):
            self.step_begins(optimizer)
            self.step_ends(optimizer)

    def step_begins(self, optimizer: torch.optim.Optimizer) -> None:
        """See `StepListener`."""
        if self._stepping is not None and steps.is_running(self._call_of_step):
            return  # an optimizer inside an optimizer is part of its step
        # Else the last step failed, and the script went on.
        self._stepping = None
        if not self._knows(optimizer):
            return
        if any(optimizer is each for each in self._stepped):
            self._end_update()
        self._start()
        self._stepping, self._backward_in_step = optimizer, False
        self._call_of_step = steps.running()
        if not self._stepped:
            self._safely(self._begin_update)
        self._safely(self._begin_step, optimizer)
        if not self._stepped:
            self._listener.before_step(self.counts.steps + 1)

    def step_ends(self, optimizer: torch.optim.Optimizer) -> None:
        """See `StepListener`."""
        if self._stepping is not optimizer or steps.running() != self._call_of_step:
            return
        self._stepping = None
        self._stepped.append(optimizer)
        self._optimizers.count_step(optimizer)
        self._safely(self._end_step, optimizer, self._backward_in_step)
        if all(any(each is stepped for stepped in self._stepped) for each in self._living):
            self._end_update()

    def _end_update(self) -> None:
        """End the update if an optimizer has stepped, and notify the listener."""
        if not self._stepped or self._closed:
            return
        # A script may drop its optimizer before the state after the last step is read.
        self._kept, self._stepped = self._stepped, []
        self.counts.steps += 1
        self._safely(self._record_update, self.counts.steps)
        self._passes.end_update()
        self._micro_batches = 0
        self._forward.reset()
        self._listener.after_step(self.counts.steps)

    def _start(self) -> None:
        if not self._started and self._names.complete():
            self._safely(self._adopt_living_optimizers)
            self._started = True
            self._count_parameters()
            self._safely(self._begin_training)

    @property
    def _living(self) -> list[torch.optim.Optimizer]:
        """The watched optimizers that still exist."""
        return self._optimizers.living

    def _knows(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the optimizer updates a watched parameter; from then on it is watched."""
        if self._optimizers.adopts(optimizer):
            self._safely(self._watched)
        return any(optimizer is each for each in self._living)

    def _adopt_living_optimizers(self) -> None:
        """Watch every optimizer that holds a watched parameter, whether or not it was named."""
        for optimizer in living_optimizers():
            self._knows(optimizer)

    # Faults.

    def _safely(self, call: Callable[..., None], *args: Any) -> None:
        """Call `call`; if it fails, stop recording and note the fault of the harness."""
        if self.counts.probe_fault is not None:
            return
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001  # a fault of the harness, whatever it is
            last = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())
            place = f"{Path(last.filename).name}:{last.lineno}"
            self.counts.probe_fault = (
                f"step {self.counts.steps + 1}: {type(error).__name__}: {text} ({place})"
            )
            self._abandon()

    def _abandon(self) -> None:
        """Stop recording after a fault; steps are still counted."""
        self._forward.remove()

    def forget(self) -> None:
        """Hold no model, optimizer or pass any more."""
        self._names.forget()
        self._optimizers.forget()
        self._stepped, self._kept = [], []
        self._passes = Passes()
        self._loss, self._stepping = None, None

    def _detach(self) -> None:
        self._closed = True
        self._forward.remove()
        steps.stop_listening(self)
        backward.stop_listening(self)
        for handle in self._handles:
            handle.remove()
        self._handles = []
