"""Records every operation of one step: its inputs, its outputs, and the line that called it.

A dispatch mode sees each operation that reaches a kernel, in forward and backward passes and in the
update. It calls the operation as it would be called without it, so no bit changes. What the harness
itself computes is not recorded. A compiled graph is one call, which no mode looks into.

An operation of a backward pass belongs to the operation of the forward pass that autograd recorded,
by the sequence number of its node.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from harness.tracing import digest
from harness.tracing.call_sites import Site, call_site

__all__ = ["OperationRecorder", "begin_early", "taken_early"]

_EARLY = 20_000
"""Operations that are kept from before a training is known."""

_NOT_A_VALUE = ("aten.empty", "aten.new_empty", "aten._efficientzerotensor", "profiler.", "prim.")
"""Operations whose outputs mean nothing yet, or that compute nothing."""
_WRITTEN_ONLY = frozenset(
    f"aten.{name}_"
    for name in (
        "bernoulli",
        "cauchy",
        "copy",
        "exponential",
        "fill",
        "geometric",
        "log_normal",
        "normal",
        "random",
        "uniform",
        "zero",
    )
)
"""Operations that replace their first argument and do not read it."""
_FROM_PYTHON = ("aten.lift",)
"""Operations that hand over numbers from Python, as `torch.tensor` does."""


class OperationRecorder(TorchDispatchMode):
    """Records the operations of this thread from `begin` until `end`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._early: deque[dict[str, Any]] = deque(maxlen=_EARLY)
        self._add: Callable[[dict[str, Any]], None] = self._early.append
        self._module: Callable[[], str] = str
        self._safely: Any = self._without_errors
        self._process = os.getpid()
        self._number = 0
        self._entered = self._records = False
        self._sources: dict[int, tuple[Site, str]] = {}
        self.phase = "before"
        """`forward`, `backward`, `update`, or what comes `before` or `after` these in the step."""

    def connect(
        self, add: Callable[[dict[str, Any]], None], module: Callable[[], str], safely: Any
    ) -> None:
        """Hand over the rows: those so far, of which the earliest may be gone, and all later ones.

        `add` takes one row of the trace `operations`, without the column `step`. `module`: the name
        of the module whose forward pass runs. `safely`: calls a function with arguments; an error
        of this module never leaves it.
        """
        self._add, self._module, self._safely = add, module, safely
        while self._early:
            add(self._early.popleft())

    def _without_errors(self, call: Callable[..., None], *args: Any) -> None:
        """A fault of the harness ends the recording, never the program."""
        try:
            call(*args)
        except Exception:  # noqa: BLE001  # then a difference seems to enter from outside
            self._records = False

    def begin(self) -> None:
        """Record from now on."""
        if not self._entered:
            self._entered = self._records = True
            self.__enter__()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Record no more."""
        self._records = False
        # Below a mode that the training entered since, this one stays and passes everything on.
        if self._entered and _get_current_dispatch_mode() is self:
            self._entered = False
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._records or os.getpid() != self._process:
            return func(*args, **kwargs)
        site = call_site(sys._getframe(1))
        if site is None:
            return func(*args, **kwargs)
        row: dict[str, Any] = {}
        if func.is_view:  # it changes nothing, so what it reads can be read afterwards, if needed
            output = func(*args, **kwargs)
            self._safely(self._of_view, row, func, args, kwargs, output, site)
            return output
        self._safely(self._before, row, func, args, kwargs)
        output = func(*args, **kwargs)
        self._safely(self._after, row, func, args, kwargs, output, site)
        return output

    def _of_view(self, row: dict[str, Any], func: Any, args: Any, kwargs: Any, *rest: Any) -> None:
        if not _is_same_memory(args, _tensors(rest[0])):
            self._before(row, func, args, kwargs)
            self._after(row, func, args, kwargs, *rest)

    @torch.no_grad()
    def _before(
        self, row: dict[str, Any], func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        name = str(func)
        if name.startswith(_NOT_A_VALUE):
            return
        first = 1 if name.rpartition(".")[0] in _WRITTEN_ONLY else 0
        read = {key: value for key, value in kwargs.items() if key != "out"}
        values = [] if name.startswith(_FROM_PYTHON) else _tensors((args[first:], read))
        # Of a tensor that is written in part, the rest stays.
        values = _distinct([*values, *_bases(_written(func, args, kwargs))])
        values = _without_workspace(name, values)
        row["operation"] = name.removesuffix(".default")
        row["inputs"] = [_digest(value) for value in values]
        row["input_sizes"] = [value.numel() for value in values]
        row["arguments"] = _plain(func, args, read)

    @torch.no_grad()
    def _after(
        self,
        row: dict[str, Any],
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        output: Any,
        site: Site,
    ) -> None:
        if not row:
            return
        written = list(_written(func, args, kwargs))
        values = _distinct([*_tensors(output), *written, *_bases(written)])
        values = _without_workspace(row["operation"], values)
        if not values:
            return  # nothing was made
        node = torch._C._current_autograd_node()
        made_by, module = site, ""
        if node is not None:
            made_by, module = self._sources.get(node._sequence_nr(), (Site("", "", ""), ""))
        else:
            module = self._module()
            number = torch._C._autograd._get_sequence_nr() - 1
            self._sources.setdefault(number, (site, module))
        self._number += 1
        self._add(
            {
                **row,
                "number": self._number,
                "phase": self.phase,
                "module": module,
                "random": torch.Tag.nondeterministic_seeded in func.tags,
                "outputs": [_digest(value) for value in values],
                "output_sizes": [value.numel() for value in values],
                "output_norms": [_norm(value) for value in values],
                "place": site.place,
                "source": site.source,
                "library": site.library,
                "forward_place": made_by.place if node is not None else "",
                "forward_source": made_by.source if node is not None else "",
            }
        )


_begun_early: OperationRecorder | None = None


def begin_early() -> None:
    """Record from now on, before it is known what is trained."""
    global _begun_early
    _begun_early = OperationRecorder()
    _begun_early.begin()


def taken_early() -> OperationRecorder:
    """The recorder that began early, which only the first training has; else a new one."""
    global _begun_early
    found, _begun_early = _begun_early, None
    return found or OperationRecorder()


def _without_workspace(name: str, values: list[Tensor]) -> list[Tensor]:
    """The values without the bytes that a recurrent layer keeps for its backward pass.

    Not all of them are written, so they differ between runs that compute the same.
    """
    return [v for v in values if v.dtype != torch.uint8] if "_rnn" in name else values


def _tensors(values: Any) -> list[Tensor]:
    """The tensors in nested arguments that hold numbers on this process."""
    return [value for value in map(_local, _leaves(values)) if _is_readable(value)]


def _leaves(values: Any) -> Iterator[Tensor]:
    """The tensors in nested arguments; torch's own function takes several times as long."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _leaves(value)
    elif isinstance(values, dict):
        yield from _leaves(list(values.values()))


def _local(tensor: Tensor) -> Tensor:
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def _is_readable(tensor: Tensor) -> bool:
    """Whether the tensor has dense memory of its own: not of a meta, fake or batched tensor."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter)
    dense = plain and tensor.layout == torch.strided and tensor.device.type != "meta"
    return dense and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterable[Tensor]:
    """The tensors that the operation writes."""
    if not func._schema.is_mutable:
        return
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(args[place] if place < len(args) else kwargs.get(argument.name))


def _bases(written: Iterable[Tensor]) -> Iterable[Tensor]:
    """The whole tensors of which a part is written."""
    return _tensors([tensor._base for tensor in written if tensor._base is not None])


def _distinct(values: Iterable[Tensor]) -> list[Tensor]:
    return list({id(value): value for value in values}.values())


def _is_same_memory(args: Sequence[Any], values: Sequence[Tensor]) -> bool:
    """Whether a view shows all numbers of its first argument, in the same order."""
    before = _tensors(args[:1])
    return bool(before and values) and all(
        value.is_contiguous() and before[0].is_contiguous() and value.numel() == before[0].numel()
        for value in values
    )


def _digest(tensor: Tensor) -> int:
    """Digest of the elements; what is only repeated by a stride of 0 is read once."""
    for dimension, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[dimension] > 1:
            tensor = tensor.narrow(dimension, 0, 1)
    return digest.of_tensor(tensor)


def _norm(tensor: Tensor) -> float:
    """The 2-norm; NaN if the elements are no numbers."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return float("nan")
    kind = torch.complex128 if tensor.is_complex() else torch.float64
    wide = kind if tensor.numel() < 1000 else None
    return float(torch.linalg.vector_norm(tensor, dtype=wide))


def _plain(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The arguments that are numbers, texts or types, as `NAME=VALUE`; of a generator its seed."""
    named = {**dict(zip(_names(func), args, strict=False)), **kwargs}
    seeds = {
        f"{name}.seed": value.initial_seed()
        for name, value in named.items()
        if isinstance(value, torch.Generator)
    }
    plain = {name: value for name, value in named.items() if _is_plain(value)}
    return [f"{name}={value}" for name, value in {**plain, **seeds}.items()]


@cache
def _names(func: Any) -> tuple[str, ...]:
    return tuple(argument.name for argument in func._schema.arguments)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value) and 0 < len(value) < 10
    return isinstance(value, bool | int | float | str | torch.dtype)
