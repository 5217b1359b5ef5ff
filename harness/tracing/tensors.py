"""Records each tensor at each step: digests of gradients, weights and the optimizer's state.

Memory is read only while it cannot change. On a CPU a second thread helps to read it:

- A gradient is read during the backward pass, after autograd has written it and before a loop can
  clip or scale it.
- Weights and the optimizer's state are read from the start of the next forward pass of the training
  (or the end of the run) to the end of its backward pass. Buffers may change in that pass, so they
  are read at its start. The state is that which the optimizers hold when the update ends: a script
  may empty it, or drop an optimizer, before the next pass.

With several processes all gradients are read after their reduction, and everything else directly
after the update. The same holds on an accelerator, where few launches digest many tensors. Each
process reads its share of a tensor; see `layouts.py`.

More than 300 lines: the methods share the digests of the step that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.results.record import RecordWriter
from harness.tracing import digest
from harness.tracing.backward import at_the_end_of_backward, at_the_very_end_of_backward
from harness.tracing.digest import GRADIENT, combined, readable
from harness.tracing.kept_states import KeptStates, State
from harness.tracing.layouts import local_tensor, share_of
from harness.tracing.names import WatchedNames
from harness.tracing.options import TraceOptions
from harness.tracing.reader import Reader
from harness.tracing.share_rows import ShareRows
from harness.tracing.sketch import Sketches

__all__ = ["TensorTrace", "held_tensor"]

_MIN_ELEMENTS = 1_000_000  # the least work that is worth handing to another thread
_STATES_PER_TASK = 16


class TensorTrace:
    """Writes the traces `steps`, `tensors` and `sketches`, as far as the options ask for it."""

    def __init__(self, writer: RecordWriter, options: TraceOptions) -> None:
        self._writer, self._options = writer, options
        self._sketches = Sketches() if options.sketch else None
        self._shares = ShareRows(writer)
        self._read_at_once = False
        self._reader = Reader()
        self._backward: int | None = None
        self._row: dict[str, Any] | None = None
        self._being_read: dict[Tensor, int] = {}
        self._unread: list[tuple[str, Tensor]] = []
        self._elements_unread = 0
        # Of the current step.
        self.step = 0
        """The step that is under way, counted from 1; 0 before the first."""
        self._gradients: dict[str, int] = {}
        self._norms: dict[str, Tensor] = {}
        # Of the last update.
        self._last_gradients: dict[str, int] = {}
        self._weights: dict[str, int] = {}
        self._states: dict[str, int] = {}
        self._kept = KeptStates()

    @property
    def reads(self) -> bool:
        """Whether gradients, weights and optimizer state of the current step are read."""
        return self._options.reads_tensors(self.step)

    @property
    def reader(self) -> Reader | None:
        """The reader that works beside the training; None if everything is read at once."""
        return None if self._read_at_once else self._reader

    def attach(
        self,
        names: WatchedNames,
        state_of: Callable[[Tensor], State],
        is_held: Callable[[Tensor], bool],
        at_once: bool,
    ) -> None:
        """Read the tensors in `names`; called again if there are more of them.

        `state_of`: the optimizer state of a parameter. `is_held`: whether an optimizer that exists
        holds it. `at_once`: read everything directly after the update, in the thread of the
        training.
        """
        self._state_of, self._is_held, self._read_at_once = state_of, is_held, at_once
        self._parameters = dict(names.parameters)
        self._names: dict[Tensor, str] = {p: name for name, p in self._parameters.items()}
        self._buffers = dict(names.buffers)
        self._named = self._parameters | self._buffers

    def record_initial(self) -> int:
        """Write the rows of step 0; return the digest of the weights."""
        self._read_all()
        if self.reads:
            self._write_tensors(0)
            self._write_sketches(0)
        return combined(self._weights.values())

    def forward_begins(self) -> None:
        """A forward pass of the training begins: start to read the result of the last update."""
        if self._row is None or self._being_read or self._read_at_once:
            return
        self._being_read = {weight: weight._version for weight in self._parameters.values()}
        for weights in _in_tasks(self._parameters.items()):
            self._reader.submit(partial(self._read_weights, weights))
        self._read_weights(list(self._buffers.items()))
        if self._options.detail != "full":
            return
        states = list(self._kept.states.items())
        for start in range(0, len(states), _STATES_PER_TASK):
            some = states[start : start + _STATES_PER_TASK]
            self._reader.submit(partial(self._read_states, some))

    def after_backward(self, parameter: Tensor, first: bool) -> None:
        """The gradient of `parameter` is accumulated; `first` in this backward pass.

        To be called only while `reads` holds.
        """
        if self._read_at_once:
            if first:
                at_the_very_end_of_backward(self._read_gradients)
            return
        backward = torch._C._current_graph_task_id()
        if backward != self._backward:  # activation checkpointing nests backward passes
            self._backward = backward
            at_the_end_of_backward(self._finish_gradients)
        gradient = held_tensor(parameter.grad)
        assert gradient is not None
        self._unread.append((self._names[parameter], gradient))
        self._elements_unread += gradient.numel()
        # A hook of the user's on this parameter may change the gradient when this one returns.
        hooks: Mapping[int, Any] = parameter._post_accumulate_grad_hooks
        if len(hooks) > 1:
            self._finish_gradients()
        elif self._elements_unread >= _MIN_ELEMENTS:
            self._hand_over_gradients()

    def read_left_over(self) -> None:
        """Read the gradients that the update will use although no backward pass left them now.

        A gradient of an earlier update that was not removed, or one that was set by hand.
        """
        if self.reads:
            for name, parameter in self._parameters.items():
                if parameter.grad is not None and name not in self._gradients:
                    self._take_gradients({name: parameter.grad})

    def after_step(
        self, step: int, rates: Sequence[float | None], rate_of: Sequence[int]
    ) -> dict[str, Tensor]:
        """The update is complete; return the 2-norm of each raw gradient, by parameter name.

        `rates`: distinct learning rates. `rate_of`: for each parameter its place among them.
        """
        self._row = {"step": step, "learning_rate": rates, "rate_of": rate_of, "grad_norm": None}
        if not self.reads:
            self._writer.add(
                "steps", **self._row, gradients=None, weights=None, optimizer_state=None
            )
            self._row = None
            return {}
        self._last_gradients, self._gradients = self._gradients, {}
        by_name, self._norms = self._norms, {}
        # As in `clip_grad_norm_`: the norm of the tensors' norms, in the model's order.
        norms = [by_name[name] for name in self._named if name in by_name]
        total = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
        self._row["grad_norm"] = total
        self._write_sketches(step)
        if self._options.detail == "full":
            self._kept.keep(step, self._named, self._state_of, self._is_held)
        if self._read_at_once:
            self._read_all()
            self._write()
        else:
            self._reader.wait()
        return by_name

    def finish(self) -> None:
        """Write the pending rows of the last step. Must be called before the next update."""
        if self._row is not None:
            self.forward_begins()
            self._reader.wait()
            self._end_reading()

    def close(self) -> None:
        """Write the pending rows and end the reader."""
        self.finish()
        self._reader.close()

    def forget(self) -> None:
        """Hold no tensor any more."""
        self._parameters, self._names, self._buffers, self._named = {}, {}, {}, {}
        self._norms, self._being_read, self._unread = {}, {}, []
        self._kept = KeptStates()

    def _hand_over_gradients(self) -> None:
        """Submit digests and norms as two tasks, so that both threads stay busy to the end."""
        unread, self._unread, self._elements_unread = self._unread, [], 0
        self._reader.submit(partial(self._take_digests, unread))
        self._reader.submit(partial(self._take_norms, unread))

    def _finish_gradients(self) -> None:
        self._hand_over_gradients()
        self._reader.wait()
        if self._being_read:
            self._end_reading()

    def _take_digests(self, gradients: Sequence[tuple[str, Tensor]]) -> None:
        for name, gradient in gradients:
            self._gradients[name] = digest.of_tensor(gradient)

    def _take_norms(self, gradients: Sequence[tuple[str, Tensor]]) -> None:
        for name, gradient in gradients:
            self._norms[name] = torch.linalg.vector_norm(gradient)

    def _read_gradients(self) -> None:
        self._take_gradients(
            {name: p.grad for p, name in self._names.items() if p.grad is not None}
        )

    def _take_gradients(self, found: Mapping[str, Tensor]) -> None:
        gradients = {name: readable(gradient) for name, gradient in found.items()}
        digests = digest.of_parameters([(each, {}) for each in gradients.values()], GRADIENT)
        for (name, gradient), one in zip(gradients.items(), digests, strict=True):
            self._gradients[name] = one.value
            self._norms[name] = torch.linalg.vector_norm(local_tensor(gradient))
            self._shares.take(name, one.sums)

    def _read_weights(self, weights: Sequence[tuple[str, Tensor]]) -> None:
        for name, weight in weights:
            self._weights[name] = digest.of_tensor(local_tensor(weight))

    def _read_states(self, states: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        for name, state in states:
            self._states[name] = digest.of_state(state)

    def _read_all(self) -> None:
        """Read all weights and, at detail `full`, all states, in parallel or on their device."""
        if self._options.detail == "full" and not self.step:
            self._kept.keep(0, self._named, self._state_of, self._is_held)
        states = self._kept.states
        pairs = [
            (
                readable(tensor),
                {key: readable(value) for key, value in states.get(name, {}).items()},
            )
            for name, tensor in self._named.items()
        ]
        for name, one in zip(self._named, digest.of_parameters(pairs), strict=True):
            self._weights[name], self._states[name] = one.value, one.state
            self._shares.take(name, one.sums)

    def _end_reading(self) -> None:
        """Write the step. A weight that changed while it was read, by another optimizer or by
        weight averaging, is read again."""
        for name, weight in self._parameters.items():
            if weight._version != self._being_read.get(weight):
                self._read_weights([(name, weight)])
        self._write()

    def _write(self) -> None:
        """Write the rows of the last step; everything of it has been read."""
        assert self._row is not None
        digests = self._write_tensors(self._row["step"])
        self._writer.add("steps", **self._row, **digests)
        self._row, self._being_read = None, {}

    def _write_tensors(self, step: int) -> dict[str, int | None]:
        """Write one row per parameter or buffer; return the digest of each column, by stage."""
        gradients = [self._last_gradients.get(name, 0) for name in self._named]
        weights = [self._weights[name] for name in self._named]
        states = None
        if self._options.detail == "full":
            states = [self._states[name] for name in self._named]
        self._writer.add_rows(
            "tensors",
            len(self._named),
            step=step,
            tensor=list(self._named),
            gradient=gradients,
            weight=weights,
            optimizer_state=states,
        )
        self._shares.write(step)
        return {
            "gradients": combined(gradients),
            "weights": combined(weights),
            "optimizer_state": None if states is None else combined(states),
        }

    def _write_sketches(self, step: int) -> None:
        if self._sketches is not None:
            for tensor, name in self._names.items():
                value = readable(tensor)
                share = share_of(value)
                # Signs by size, so that two runs with other names of tensors have the same.
                name_of_signs = str(tensor.numel())
                place = None if share is None else share.place
                sums = self._sketches.of(name_of_signs, local_tensor(value), place)
                self._writer.add("sketches", step=step, tensor=name, sketch=sums)


def _in_tasks(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[list[tuple[str, Tensor]]]:
    """Named tensors in tasks of at least `_MIN_ELEMENTS`; the last task may be smaller."""
    task: list[tuple[str, Tensor]] = []
    elements = 0
    for name, tensor in tensors:
        task.append((name, tensor))
        elements += tensor.numel()
        if elements >= _MIN_ELEMENTS:
            yield task
            task, elements = [], 0
    if task:
        yield task


def held_tensor(value: Any) -> Any:
    """The tensor whose norm is recorded: whole, or the share of this process if digests add up."""
    return local_tensor(readable(value))
