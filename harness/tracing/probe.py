"""The trace probe: it records the values of a training through PyTorch's own hooks.

It is told of a model and an optimizer, or finds out which optimizers update the model; it needs
nothing else, so it records every training in the same way. The trace probe records values and
measures no time; `TimingProbe` measures times and reads no values. Neither changes a computed bit
or draws a random number.

More than 300 lines: the methods share the state of the update that is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.nn.parameter import is_lazy

from harness.results.record import OUTSIDE_OF_MODULES, READ_FROM_GRAPH, Counts, RecordWriter
from harness.tracing import clipping, digest
from harness.tracing.by_hand import ByHand
from harness.tracing.first_step import FirstStep
from harness.tracing.forward import ForwardPass
from harness.tracing.hooks import HookedProbe, Scored
from harness.tracing.layouts import batches_from
from harness.tracing.listener import Listener
from harness.tracing.micro_batches import Batch, facts_of, facts_of_graph, row_of
from harness.tracing.module_values import leaves
from harness.tracing.observations import Observer
from harness.tracing.options import TraceOptions
from harness.tracing.task import Task
from harness.tracing.tensors import TensorTrace, held_tensor

__all__ = ["TraceProbe"]


class TraceProbe(HookedProbe):
    """Records digests of everything that a step computes; each is written before the next update.

    Gradients are read as autograd leaves them, before a loop can clip or scale them. After each
    backward pass the digest covers the gradient accumulated so far, so the last digest before a
    step is recorded. `tensors.py` describes when each tensor is read.
    """

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        options: TraceOptions,
        counts: Counts | None = None,
        task: Task | None = None,
        processes: int | None = None,
    ) -> None:
        """`processes`: how many train together; None: as many as torch.distributed knows of."""
        super().__init__(
            writer, listener, counts, task.loss_metrics if task is not None else frozenset()
        )
        self._options, self._task, self._processes = options, task, processes
        self._tensors = TensorTrace(writer, options)
        self._tensors.step = self.counts.steps
        self._observer = Observer(writer, self.counts, task)
        self._device = torch.device("cpu")
        self._first_step = FirstStep(self.counts, task)
        self.seed_at_start: int | None = None
        """The seed of torch's global generator when the process began; None: not known."""
        self._hooked: dict[Tensor, Any] = {}
        self._accumulated = False
        self._of_graph: dict[str, Any] | None = None
        self._rows: list[dict[str, Any]] = []
        self._rate_of: dict[Tensor, float | None] = {}
        self._held: dict[Tensor, int] = {}
        self._stateless = False

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        self._end_update()
        self._writer.add("logged", step=self.counts.steps, loss=float(loss))

    def evaluated(self, scores: Scored) -> None:
        """See `Probe.evaluated`."""
        super().evaluated(scores)
        self._safely(self._observer.evaluated, scores.metrics.get("loss"))

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`. Every row up to the checkpoint is written first."""
        self._end_update()
        self._safely(self._tensors.finish)
        super().saved(checkpoint)

    def flush(self) -> None:
        """Write the rows of the last update, which are otherwise written before the next one."""
        self._safely(self._tensors.finish)

    def close(self) -> None:
        """Remove the hooks, and write the rows that are still pending."""
        super().close()
        if self._started:
            self._safely(self._observer.check_weights, self.counts.steps + 1)
        self._safely(self._tensors.close)
        # A model that lives until the interpreter ends can abort a distributed program.
        self._tensors.forget()
        self._observer.forget()
        self.forget()

    def _detach(self) -> None:
        super()._detach()
        self._unhook()

    def _abandon(self) -> None:
        super()._abandon()
        self._unhook()

    def _unhook(self) -> None:
        clipping.stop_listening(self._clips_nothing)
        for handle in self._hooked.values():
            handle.remove()
        self._hooked = {}

    # What is watched.

    def _watched(self) -> None:
        if self._started:
            self._read_names()
            return
        self._first_step.watched()
        clipping.stop_listening(self._clips_nothing)  # once, however often `add` is called
        clipping.listen(self._clips_nothing)
        self._hook_parameters()  # now, so that hooks of the script's run after these

    def _clips_nothing(self) -> None:
        """Gradients are clipped where there are none."""
        self._safely(self._observer.observe, "clipped_without_gradients", self.counts.steps + 1)

    def _read_names(self) -> None:
        """Take over the names and hook the parameters; called again if there are more of them."""
        self._tensors.finish()
        if self._lacks_names():
            self._names.read()
        parameters = self._names.parameters
        self.counts.parameter_names = list(parameters)
        self._observer.attach({p: name for name, p in parameters.items()}, self._alone)
        at_once = not self._alone or any(p.device.type != "cpu" for p in parameters.values())
        self._tensors.attach(self._names, self._state_of, self._optimizers.hold, at_once)
        self._hook_parameters()

    def _lacks_names(self) -> bool:
        """Whether an optimizer holds a parameter without a name.

        Otherwise the names are not read again: during a pass, the modules of FSDP hold other
        tensors than their optimizer.
        """
        return any(
            parameter not in self._names
            for optimizer in self._living
            for group in optimizer.param_groups
            for parameter in group["params"]
        )

    def _hook_parameters(self) -> None:
        for parameter in self._names.parameters.values():
            hooked = parameter in self._hooked or is_lazy(parameter)
            if not hooked and parameter.requires_grad and parameter.is_leaf:
                self._hooked[parameter] = parameter.register_post_accumulate_grad_hook(
                    self._after_accumulation
                )

    def _begin_training(self) -> None:
        if self._processes is None:
            distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
            self._processes = torch.distributed.get_world_size() if distributed else 1
        self._alone = self._processes == 1
        if self._lacks_names():
            self._names.read()
        self._names.fix()
        self.counts.batches_from = batches_from(self._names.models)
        parameters = list(self._names.parameters.values())
        self._device = next((p.device for p in parameters), self._device)
        self._read_names()
        for model in self._names.models:
            if self._forward.hooks_inside(model):
                self._handles += self._observer.note_dtype_of(model)
        if not self.counts.steps:  # a resumed run's record holds them already
            if self._tensors.reads:
                self._observer.record_initial_weights()
            self.counts.initial_weights = f"{self._tensors.record_initial():016x}"
        self._tensors.step = self.counts.steps + 1

    def _state_of(self, tensor: Tensor) -> dict[str, Any]:
        """The state that the optimizers keep for a parameter; lists in it are taken apart."""
        state: dict[str, Any] = {}
        for number, optimizer in enumerate(self._living):
            own = optimizer.state.get(tensor)
            if own:
                prefix = f"{number}." if state else ""
                state |= {f"{prefix}{name}": value for name, value in leaves(own)}
        return state

    # Passes.

    def _begin_pass(self, one: ForwardPass) -> None:
        if not one.with_gradient:
            self._observer.begin_pass_without_gradient(one.model.training)
            one.facts["labels"] = one.kwargs.get("labels")
            return
        if not self._started:  # a lazy module has no weights before its first forward pass
            return
        if not self._first_step.begun:
            self._record_settings()
        self._tensors.forward_begins()
        batch = Batch(one, self._task)
        seen = self._observer.begin_pass(one.model.training, batch.tensors, batch.labels)
        one.facts |= facts_of(batch, self._device, seen)

    def _end_pass(self, one: ForwardPass, output: Any) -> None:
        labels = one.facts.pop("labels", None)
        if not one.with_gradient:
            self._observer.end_pass_without_gradient(output, labels)
            return
        if self._task is None or labels is None:
            return
        logits = self._task.logits(output, labels)
        if logits is not None:
            with torch.no_grad():
                one.facts["task_loss"] = self._task.loss(logits.float(), labels)
            self._observer.end_pass(logits, labels)

    def _record_settings(self) -> None:
        """Read the settings while the loader of the first batch is alive."""
        names = {p: name for name, p in self._names.parameters.items()}
        self._first_step.begin_pass(
            self._names.models, self._living, names, self._processes or 1, self._rates
        )
        if self.seed_at_start is not None:
            # Torch draws the first seed from the system.
            self.counts.settings["rng.seeded"] = torch.initial_seed() != self.seed_at_start
        self._listener.settled(self.counts.settings)

    def _begin_backward(self, roots: Sequence[Tensor]) -> None:
        self._accumulated = False
        self._of_graph = None if self._names.models else facts_of_graph(roots, self._device)
        if not self._first_step.begun:
            self._record_settings()
        self._first_step.begin_backward(roots)
        self._tensors.forward_begins()
        self._observer.begin_backward(first=not self._micro_batches)
        now = digest.of_torch_generators(self._device)
        for one in self._passes:
            if "generators" in one.facts and "draws" not in one.facts:
                one.facts["draws"] = now != one.facts["generators"].torch

    def _after_accumulation(self, parameter: Tensor) -> None:
        """The gradient of `parameter` is accumulated."""
        # Called for each parameter, so the calls that would do nothing are not made.
        first, self._accumulated = not self._accumulated, True
        if parameter is self._observer.sentinel:
            self._safely(self._observer.after_backward)
        if self._tensors.reads:
            self._safely(self._tensors.after_backward, parameter, first)

    def _reached(self) -> bool:
        return self._accumulated

    def _add_micro_batch(self, passes: Sequence[ForwardPass], loss: Tensor | None) -> None:
        facts = [one.facts for one in passes if "batch_content" in one.facts]
        if not facts and self._of_graph is not None:
            self._observer.observe(READ_FROM_GRAPH, self.counts.steps + 1)
            row = row_of([self._of_graph], loss)
        else:
            row = row_of(facts, loss)
        if self.is_mixed:
            self._observer.observe(OUTSIDE_OF_MODULES, self.counts.steps + 1)
        self.counts.samples += len(row["sample_ids"] or row["rows"] or ())
        self._rows.append(row)
        drawn = any(one["draws"] for one in facts)
        self._observer.add_micro_batch(
            facts[0]["circumstances"] | {"draws": drawn} if facts else None
        )

    def _add_backward(self, number: int, loss: Tensor | None, again: bool) -> None:
        row = self._rows[number - 1]
        if not again:  # the gradient is then that of the sum
            row["loss"] = None if loss is None or row["loss"] is None else row["loss"] + loss

    # Updates.

    def _begin_update(self) -> None:
        self._rate_of, self._held = {}, {}
        self._first_step.begin_update()
        self._tensors.finish()

    def _begin_step(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = self._names.parameters.values()
        if any(p.grad is not None and p not in self._hooked for p in parameters):
            self._read_names()  # a parameter that was frozen when the training began
        if not isinstance(optimizer, ByHand):
            self._tensors.read_left_over()
        for group in optimizer.param_groups:
            rate = group.get("lr")
            for parameter in group["params"]:
                self._rate_of[parameter] = None if rate is None else float(rate)
                self._held[parameter] = self._held.get(parameter, 0) + 1
        # A script that updates by itself is noticed afterwards, when its gradients may be gone.
        if self._tensors.reads and not isinstance(optimizer, ByHand):
            self._observer.before_step(self._gradients(optimizer), self._tensors.reader)
        self._stateless = self.counts.steps > 0 and not optimizer.state

    def _end_step(self, optimizer: torch.optim.Optimizer, with_backward: bool) -> None:
        if self._stateless and optimizer.state:  # one that keeps a state, and had none
            self._observer.observe("optimizer_without_state", self.counts.steps + 1)
        if with_backward and self._tensors.reads:
            self._observer.applied_in_closure(self._gradients(optimizer))

    def _gradients(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """The gradients that an optimizer uses, by parameter name."""
        held = {p for group in optimizer.param_groups for p in group["params"]}
        return {
            name: held_tensor(p.grad)
            for name, p in self._names.parameters.items()
            if p.grad is not None and p in held
        }

    def _record_update(self, step: int) -> None:
        for number, row in enumerate(self._rows, start=1):
            for name in ("loss", "task_loss"):
                row[name] = None if row[name] is None else float(row[name])
            self._writer.add("micro_batches", step=step, micro_batch=number, **row)
        self._rows = []
        twice = sum(times > 1 for times in self._held.values())
        if twice:
            self._observer.observe("updated_twice", step, twice)
        norms = self._tensors.after_step(step, *self._distinct_rates())
        self._observer.after_step(step, norms)
        self._tensors.step = step + 1

    def _distinct_rates(self) -> tuple[list[float | None], list[int]]:
        """The distinct rates in the order of the parameters, and the place of each parameter's."""
        rates: list[float | None] = []
        places = []
        for parameter in self._names.parameters.values():
            if parameter not in self._rate_of:
                places.append(-1)
                continue
            rate = self._rate_of[parameter]
            if rate not in rates:
                rates.append(rate)
            places.append(rates.index(rate))
        return rates, places
