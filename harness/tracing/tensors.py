"""Writes what a step did to each tensor: digests of gradients, weights and the optimizer's state.

Memory is read where it cannot change and, on a CPU, by a second thread where that is idle:

- a gradient while the backward pass goes on, from the moment in which autograd has left it there,
  and until the backward pass is over, before a loop can clip or scale it;
- weights and the optimizer's state as they stand when the next forward pass of the training begins
  or the run ends, until the backward pass is over; buffers, which that pass may change, at once.

Several processes read all gradients when they are reduced, and all else at once after the update;
so does a process that trains on a device, which digests many tensors in few launches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harness.results.record import RecordWriter
from harness.spec.case import RunSpec
from harness.tracing import digest as fingerprint
from harness.tracing.reader import Reader
from harness.tracing.sketch import Sketches
from harness.training.workload import Workload

__all__ = ["TensorTrace", "whole"]

_ENOUGH = 1_000_000  # elements that are worth being handed to another thread
_STATES_AT_ONCE = 16


class TensorTrace:
    """Writes the traces `steps`, `tensors` and `sketches`, at the detail that the spec asks for."""

    def __init__(self, writer: RecordWriter, workload: Workload, spec: RunSpec) -> None:
        self._writer, self._detail = writer, spec.detail
        self._sketches = Sketches() if spec.sketch else None
        self._together = workload.world_size > 1 or workload.device.type != "cpu"
        self._reader = Reader()
        self._backward: int | None = None
        self._row: dict[str, Any] | None = None
        self._being_read: dict[Tensor, int] = {}
        self._unread: list[tuple[str, Tensor]] = []
        self._elements_unread = 0
        # Of the step under way, then of the last one.
        self._gradients: dict[str, int] = {}
        self._norms: dict[str, Tensor] = {}
        self._last_gradients: dict[str, int] = {}
        self._weights: dict[str, int] = {}
        self._states: dict[str, int] = {}

    @property
    def records_tensors(self) -> bool:
        """Whether tensors are to be recorded at all."""
        return self._detail != "steps"

    @property
    def reader(self) -> Reader | None:
        """What reads beside the training; None where all is read at once."""
        return None if self._together else self._reader

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Begin to watch the parameters and buffers of `model`."""
        self._optimizer = optimizer
        self._names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        self._parameters = dict(model.named_parameters())
        self._buffers = dict(model.named_buffers())
        self._named = self._parameters | self._buffers

    def record_initial(self) -> int:
        """Write the rows of step 0; return the digest of the weights."""
        self._read_all()
        if self.records_tensors:
            self._write_tensors(0)
            self._write_sketches(0)
        return fingerprint.combined(self._weights.values())

    def forward_begins(self) -> None:
        """A forward pass of the training begins: what the last update left is read beside it."""
        if self._row is None or self._being_read:
            return
        self._being_read = {weight: weight._version for weight in self._parameters.values()}
        for weights in _in_parts(self._parameters.items()):
            self._reader.submit(partial(self._read_weights, weights))
        self._read_weights(list(self._buffers.items()))
        if self._detail != "full":
            return
        states = [
            (name, dict(self._optimizer.state.get(tensor, {})))
            for name, tensor in self._named.items()
        ]
        for start in range(0, len(states), _STATES_AT_ONCE):
            some = states[start : start + _STATES_AT_ONCE]
            self._reader.submit(partial(self._read_states, some))

    def after_backward(self, parameter: Tensor, first: bool) -> None:
        """Its gradient is accumulated; `first`: the first one of this backward pass."""
        if not self.records_tensors:
            return
        if self._together:
            if first:
                _at_the_very_end_of_backward(self._read_gradients)
            return
        backward = torch._C._current_graph_task_id()
        if backward != self._backward:  # with activation checkpoints one is inside the other
            self._backward = backward
            _at_the_end_of_backward(self._finish_gradients)
        gradient = parameter.grad
        assert gradient is not None
        self._unread.append((self._names[parameter], gradient))
        self._elements_unread += gradient.numel()
        # Another hook of this kind, not ours, may change it as soon as this one returns.
        hooks: Mapping[int, Any] = parameter._post_accumulate_grad_hooks
        if len(hooks) > 1:
            self._finish_gradients()
        elif self._elements_unread >= _ENOUGH:
            self._hand_over_gradients()

    def after_step(self, step: int, learning_rates: Sequence[float]) -> dict[str, Tensor]:
        """The update is made; return the norms of its raw gradients."""
        self._row = {"step": step, "learning_rate": learning_rates, "grad_norm": None}
        if not self.records_tensors:
            self._writer.add(
                "steps", **self._row, gradients=None, weights=None, optimizer_state=None
            )
            self._row = None
            return {}
        self._last_gradients, self._gradients = self._gradients, {}
        found, self._norms = self._norms, {}
        # In the model's order, and as `clip_grad_norm_` does: the norm of the tensors' norms.
        norms = [found[name] for name in self._named if name in found]
        total = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
        self._row["grad_norm"] = total
        self._write_sketches(step)
        if self._together:
            self._read_all()
            self._write()
        else:
            self._reader.wait()
        return found

    def finish(self) -> None:
        """Write what is still under way of the last step. To be called before the next update."""
        if self._row is not None:
            self.forward_begins()
            self._reader.wait()
            self._end_reading()

    def close(self) -> None:
        """No more will come."""
        self.finish()
        self._reader.close()

    def _hand_over_gradients(self) -> None:
        """Digests and norms apart: the last ones of a pass keep both threads busy."""
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
            self._gradients[name] = fingerprint.of_tensor(gradient)

    def _take_norms(self, gradients: Sequence[tuple[str, Tensor]]) -> None:
        for name, gradient in gradients:
            self._norms[name] = torch.linalg.vector_norm(gradient)

    def _read_gradients(self) -> None:
        found = {name: whole(p.grad) for p, name in self._names.items() if p.grad is not None}
        digests = fingerprint.of_parameters([(gradient, {}) for gradient in found.values()])
        for (name, gradient), (digest, _) in zip(found.items(), digests, strict=True):
            self._gradients[name] = digest
            self._norms[name] = torch.linalg.vector_norm(gradient)

    def _read_weights(self, weights: Sequence[tuple[str, Tensor]]) -> None:
        for name, weight in weights:
            self._weights[name] = fingerprint.of_tensor(weight)

    def _read_states(self, states: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        for name, state in states:
            self._states[name] = fingerprint.of_state(state)

    def _read_all(self) -> None:
        """Weights and, where asked for, states, side by side or on their device."""
        states = self._optimizer.state if self._detail == "full" else {}
        pairs = [
            (whole(tensor), {key: whole(value) for key, value in states.get(tensor, {}).items()})
            for tensor in self._named.values()
        ]
        for name, digests in zip(self._named, fingerprint.of_parameters(pairs), strict=True):
            self._weights[name], self._states[name] = digests

    def _end_reading(self) -> None:
        """What changed amid it is read again: by a second optimizer, say, or as an average."""
        for name, weight in self._parameters.items():
            if weight._version != self._being_read[weight]:
                self._read_weights([(name, weight)])
        self._write()

    def _write(self) -> None:
        """The rows of the step of which everything is read."""
        assert self._row is not None
        digests = self._write_tensors(self._row["step"])
        self._writer.add("steps", **self._row, **digests)
        self._row, self._being_read = None, {}

    def _write_tensors(self, step: int) -> dict[str, int | None]:
        """One row a parameter or buffer; the digest of each column, by its stage."""
        gradients = [self._last_gradients.get(name, 0) for name in self._named]
        weights = [self._weights[name] for name in self._named]
        states = None
        if self._detail == "full":
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
        return {
            "gradients": fingerprint.combined(gradients),
            "weights": fingerprint.combined(weights),
            "optimizer_state": None if states is None else fingerprint.combined(states),
        }

    def _write_sketches(self, step: int) -> None:
        if self._sketches is not None:
            for tensor, name in self._names.items():
                sums = self._sketches.of(name, tensor)
                self._writer.add("sketches", step=step, tensor=name, sketch=sums)


def _in_parts(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[list[tuple[str, Tensor]]]:
    """Tensors by name, in parts that are worth being handed over; the last may be smaller."""
    part: list[tuple[str, Tensor]] = []
    elements = 0
    for name, tensor in tensors:
        part.append((name, tensor))
        elements += tensor.numel()
        if elements >= _ENOUGH:
            yield part
            part, elements = [], 0
    if part:
        yield part


def whole(value: Any) -> Any:
    """A tensor of which each process holds a share, put together; all must ask for it alike."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _at_the_end_of_backward(action: Callable[[], None]) -> None:
    """Have autograd call `action` when the backward pass under way is over."""
    torch.autograd.Variable._execution_engine.queue_callback(action)


def _at_the_very_end_of_backward(action: Callable[[], None]) -> None:
    """Have autograd call `action` after all else that is to follow the backward pass under way.

    `DistributedDataParallel` waits for the reduced gradients in a callback that it queues during
    the backward pass; one that is queued by a callback comes after all of those.
    """
    _at_the_end_of_backward(lambda: _at_the_end_of_backward(action))
