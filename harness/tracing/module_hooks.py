"""Records the inputs and outputs of each module in forward and backward passes; changes no bit.

It uses hooks on modules that return nothing, and hooks on nodes of the existing autograd graph.
It does not use PyTorch's full backward hooks on modules: they add nodes to the graph, after which
a model may no longer change those tensors in place. Instead it reads the gradient that enters the
node of a module's output, and the gradient that the module's nodes pass on to its input. Forward
passes that are recomputed in a backward pass are not recorded again.

The words `taken` and `given` are column names of the trace `modules`: inputs and outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harness.tracing import digest
from harness.tracing.module_values import Values, by_name, leaves
from harness.tracing.sketch import Sketches

__all__ = ["ModuleRecorder", "visible_modules"]

Edge = tuple[Any, int]  # a node of the autograd graph, and the number of its output
Row = dict[str, Any]


@dataclass
class _Call:
    """One call of a module: its inputs, its outputs, and the gradients of both."""

    module: str
    kind: str
    call: int
    training: bool
    rng: int
    taken: Values
    edges: dict[Edge, str]
    """The origin of each input in the graph; emptied when the call ends."""
    parameters: int = 0
    given: Values = field(default_factory=Values)
    gradients_taken: Values = field(default_factory=Values)
    gradients_given: Values = field(default_factory=Values)
    sums: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    """For an input that is used several times: the gradient so far, and how many are missing."""
    left_at: int = -1
    """The call's place among all ends of calls."""
    backward_at: int = -1
    """The call's last place in the backward pass; -1 if the backward pass does not reach it."""


@dataclass
class _Pass:
    """A forward pass of the whole model and its backward pass."""

    calls: list[_Call] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    clock: Iterator[int] = field(default_factory=itertools.count)


class ModuleRecorder:
    """Records the modules of one model, from the first `begin` on."""

    def __init__(self, names: Mapping[nn.Module, str], root: nn.Module, device: Any) -> None:
        """`names`: the modules to record with their names, including `root`."""
        self._names, self._root, self._device = dict(names), root, device
        self._sketches = Sketches()
        self._passes: dict[int, _Pass] = {}
        self._pass: _Pass | None = None
        self._open: list[tuple[nn.Module, _Call]] = []
        self._handles: list[Any] = []

    def begin(self, number: int, args: Any, kwargs: Mapping[str, Any]) -> None:
        """The root is called for the micro-batch `number`; an earlier pass of it is discarded.

        Must be called within a forward pre-hook of the root. The hooks are registered anew each
        time, so they run after the loop's own hooks and see their effect.
        """
        self.remove()
        for module in self._names:
            self._handles.append(module.register_forward_hook(self._leave))
            if module is not self._root:
                self._handles.append(
                    module.register_forward_pre_hook(self._enter, with_kwargs=True)
                )
        self._pass = self._passes[number] = _Pass()
        self._open = []
        self._enter(self._root, args, kwargs)

    @property
    def current(self) -> str:
        """The name of the innermost module whose forward pass runs; empty if none does."""
        return self._open[-1][1].module if self._pass is not None and self._open else ""

    def remove(self) -> None:
        """Remove the hooks from the modules; named as the method of a hook's handle."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def rows(self) -> Iterator[Row]:
        """Rows of the trace `modules` for all micro-batches so far, without the column `step`."""
        for number, one in sorted(self._passes.items()):
            for call in one.calls:
                with torch.no_grad():
                    for name, (total, _) in call.sums.items():  # a use without gradient
                        call.gradients_given.add(name, total, self._sketches)
                call.sums = {}
            forward = sorted(one.calls, key=lambda call: call.left_at)
            backward = sorted(
                (call for call in one.calls if call.backward_at >= 0),
                key=lambda call: call.backward_at,
            )
            yield from (
                {"micro_batch": number, "number": place, **row}
                for place, row in enumerate(
                    [
                        *(_row("forward", call, call.taken, call.given) for call in forward),
                        *(
                            _row("backward", call, call.gradients_taken, call.gradients_given)
                            for call in backward
                        ),
                    ]
                )
            )

    @torch.no_grad()
    def _enter(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if self._pass is None:
            return  # recomputed in a backward pass, or outside the training
        name = self._names[module]
        number = self._pass.times[name] = self._pass.times.get(name, 0) + 1
        taken = Values()
        edges: dict[Edge, str] = {}
        for place, value in leaves(by_name(module, args, kwargs)):
            taken.add(place, value)
            if isinstance(value, Tensor) and value.grad_fn is not None:
                edges.setdefault((value.grad_fn, value.output_nr), place)
        call = _Call(
            module=name,
            kind=type(module).__name__,
            call=number,
            training=module.training,
            rng=digest.of_torch_generators(self._device),
            taken=taken,
            edges=edges,
        )
        self._open.append((module, call))

    @torch.no_grad()
    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._pass is None:
            return
        opened, call = self._open.pop()
        if opened is not module:
            raise RuntimeError(f"{call.module} was entered but {self._names[module]} was left")
        call.left_at = next(self._pass.clock)
        self._pass.calls.append(call)
        parameters = module.parameters(recurse=self._hides_submodules(module))
        call.parameters = digest.of_batch(
            {str(number): _local(each) for number, each in enumerate(parameters)}
        )
        for place, value in leaves(output):
            call.given.add(place, value, self._sketches)
        self._watch_backward(self._pass, call, dict(leaves(output)))
        call.edges = {}
        if module is self._root:
            self._pass = None

    def _hides_submodules(self, module: nn.Module) -> bool:
        """Whether the module is recorded but the modules inside it are not."""
        return module is self._root and len(self._names) == 1

    def _watch_backward(self, one: _Pass, call: _Call, outputs: Mapping[str, object]) -> None:
        """Hook the graph's nodes at the outputs and at the inputs of this call."""
        ends = {}
        for place, value in outputs.items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                # This output is an unchanged input, which the call did not compute.
                if (value.grad_fn, value.output_nr) in call.edges:
                    continue
                ends[place] = value.grad_fn
                take = partial(self._take, one, call, place, value.output_nr)
                value.grad_fn.register_prehook(take)
        uses = list(_uses(ends.values(), call.edges))
        for name in call.edges.values():
            count = sum(use[2] == name for use in uses)
            for node, position, _ in (use for use in uses if use[2] == name):
                node.register_hook(partial(self._give, one, call, name, position, count))

    @torch.no_grad()
    def _take(
        self, one: _Pass, call: _Call, name: str, position: int, gradients: tuple[Any, ...]
    ) -> None:
        if gradients[position] is not None:
            call.gradients_taken.add(name, gradients[position])
            call.backward_at = next(one.clock)

    @torch.no_grad()
    def _give(
        self,
        one: _Pass,
        call: _Call,
        name: str,
        position: int,
        count: int,
        gradients: tuple[Any, ...],
        _incoming: Any,
    ) -> None:
        gradient = gradients[position]
        if gradient is None:
            return
        call.backward_at = next(one.clock)
        if count == 1:
            call.gradients_given.add(name, gradient, self._sketches)
            return
        before, left = call.sums.pop(name, (None, count))
        total = gradient.clone() if before is None else before + gradient
        if left == 1:
            call.gradients_given.add(name, total, self._sketches)
        else:
            call.sums[name] = total, left - 1


def visible_modules(model: nn.Module) -> dict[nn.Module, str]:
    """The modules of `model` with names, without those inside a compiled module."""
    hidden: list[str] = []
    found = {}
    for name, module in model.named_modules():
        if any(name.startswith(prefix) for prefix in hidden):
            continue
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None):
            hidden.append(f"{name}." if name else "")
            if module is not model:
                continue
        found[module] = name
    return found


def _local(tensor: Tensor) -> Tensor:
    """The shard of a tensor on this process."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _row(direction: str, call: _Call, taken: Values, given: Values) -> Row:
    forward = direction == "forward"
    return {
        "direction": direction,
        "module": call.module,
        "kind": call.kind,
        "call": call.call,
        "training": call.training,
        "rng": call.rng if forward else 0,
        "parameters": call.parameters if forward else 0,
        "taken_names": list(taken.digests),
        "taken": list(taken.digests.values()),
        "taken_norms": taken.norms,
        "given_names": list(given.digests),
        "given": list(given.digests.values()),
        "given_norms": given.norms,
        "sketches": given.sketches,
    }


def _uses(ends: Iterable[Any], inputs: Mapping[Edge, str]) -> Iterator[tuple[Any, int, str]]:
    """Nodes between `ends` and `inputs` that pass a gradient to an input.

    Yields the node, the position among its gradients, and the input's name. The walk ends at the
    inputs, so it stays within one call.
    """
    sources = {node for node, _ in inputs}
    waiting = [node for node in dict.fromkeys(ends) if node not in sources]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        for position, (other, output) in enumerate(node.next_functions):
            if (other, output) in inputs:
                yield node, position, inputs[other, output]
            elif other is not None and other not in seen and other not in sources:
                seen.add(other)
                waiting.append(other)
