"""Which line of the user's code last changed each part of a training's state.

The state is what Python sets and no operation of torch shows: modes and plain attributes of
modules, which modules there are, `requires_grad`, the settings of optimizers, and the global seed.
It is looked at after each line of the user's code, so a change belongs to the line before.
"""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["Entry", "Line", "StateWatch"]

Line = tuple[str, int]
"""A file and the number of a line in it."""
_PLAIN = frozenset({bool, int, float, str})
_FREE_S, _SHARE = 1.0, 0.5
"""Looking may take a second, and then half of the time that has passed."""
Values = dict[tuple[str, str], tuple[Any, Any]]
"""By kind and name: the value, and what changes with it that is not shown."""


class Entry(NamedTuple):
    """One part of the state."""

    kind: str
    """`argument`, `attribute`, `class`, `made`, `requires_grad`, `seed`, `setting` or `weight`."""
    name: str
    value: str
    line: Line | None
    """The line that last changed it; None: not known."""


class StateWatch:
    """Looks at all modules and optimizers that are made while it is installed."""

    def __init__(self) -> None:
        self._living: dict[int, weakref.ref[Any]] = {}
        self._seen: dict[int, tuple[tuple[Any, ...], Values]] = {}
        self._lines: dict[tuple[int, str, str], Line | None] = {}
        self._made: dict[int, tuple[int, Line | None]] = {}
        self._arguments: tuple[Any, Line | None] | None = None
        self._seed: tuple[int, Line | None] = (torch.initial_seed(), None)
        self._restore: list[Callable[[], None]] = []
        self._began, self._spent_s, self._missed = time.perf_counter(), 0.0, False
        self.steps = 0
        """Updates of the training so far."""

    def install(self) -> None:
        """Begin to notice modules and optimizers."""
        for kind in (nn.Module, Optimizer):
            self._notice(kind)

    def remove(self) -> None:
        """Notice no more."""
        for restore in self._restore:
            restore()
        self._restore.clear()

    def add(self, parts: Iterable[nn.Module | Optimizer]) -> None:
        """Look at these too, such as copies, which no constructor made."""
        for part in parts:
            self._add(part)

    def note_arguments(self, arguments: Any, line: Line | None) -> None:
        """The settings of a Trainer, which `line` makes; those that are made last count."""
        self._arguments = arguments, line

    def look(self, line: Line | None) -> None:
        """Note what has changed since the last look; `line` is what ran since then."""
        started = time.perf_counter()
        if self._spent_s > max(_FREE_S, _SHARE * (started - self._began)):
            self._missed = True
            return
        line, self._missed = None if self._missed else line, False
        for key, living in list(self._living.items()):
            part = living()
            if part is None:
                continue
            try:
                self._look_at(key, part, line)
            except Exception:  # noqa: BLE001  # an odd module is not looked at again
                self._forget(key)
        seed = torch.initial_seed()
        if seed != self._seed[0]:
            self._seed = seed, line
        self._spent_s += time.perf_counter() - started

    def entries(self, models: Mapping[str, nn.Module]) -> Iterator[Entry]:
        """The state of models now, with the lines that set it; by the prefix of their names."""
        yield Entry("seed", "torch", str(self._seed[0]), self._seed[1])
        for prefix, model in models.items():
            for path, module in model.named_modules():
                yield from self._entries_of(module, f"{prefix}{path}.".removeprefix("."))

    def entries_of_optimizer(self, optimizer: Optimizer, number: int) -> Iterator[Entry]:
        """The settings of an optimizer now, and when it was made; `number`: in its update."""
        steps, line = self._made.get(id(optimizer), (0, None))
        when = f"after step {steps}" if steps else "before step 1"
        yield Entry("made", f"optimizer {number}", when, line)
        yield from self._entries_of(optimizer, f"optimizer {number} ")

    def arguments(self) -> Iterator[Entry]:
        """The settings of a Trainer, if there is one."""
        if self._arguments is not None:
            arguments, line = self._arguments
            for name, value in vars(arguments).items():
                if _is_plain(value):
                    yield Entry("argument", name, str(value), line)

    def _entries_of(self, part: Any, prefix: str) -> Iterator[Entry]:
        key = id(part)
        for (kind, name), (value, _) in self._seen.get(key, ((), {}))[1].items():
            yield Entry(kind, f"{prefix}{name}", str(value), self._lines.get((key, kind, name)))

    def _look_at(self, key: int, part: Any, line: Line | None) -> None:
        signature = _signature(part)
        known, before = self._seen.get(key, ((), {}))
        if signature == known:
            return
        if not before:
            self._made[key] = self.steps, line
        now = _values(part)
        for place, value in now.items():
            if before.get(place) != value:
                self._lines[key, *place] = line
        self._seen[key] = signature, now

    def _add(self, part: Any) -> None:
        key = id(part)
        if key not in self._living or self._living[key]() is not part:
            self._seen.pop(key, None)
            self._living[key] = weakref.ref(part, lambda _: self._forget(key))

    def _forget(self, key: int) -> None:
        self._living.pop(key, None)
        self._seen.pop(key, None)

    def _notice(self, kind: Any) -> None:
        construct = kind.__init__

        @functools.wraps(construct)
        def __init__(made: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it takes its place
            construct(made, *args, **kwargs)
            if not torch.compiler.is_compiling():
                self._add(made)

        def restore() -> None:
            if kind.__init__ is __init__:
                kind.__init__ = construct

        kind.__init__ = __init__
        self._restore.append(restore)


def _signature(part: Any) -> tuple[Any, ...]:
    """What is equal as long as no value of the part changes; quicker to make than the values."""
    if isinstance(part, Optimizer):
        groups = part.param_groups
        return (
            *(value for group in groups for value in group.values() if type(value) in _PLAIN),
            *(len(group["params"]) for group in groups),
            *(id(group) for group in groups),
        )
    held = part.__dict__
    return (
        type(part),
        *(value for value in held.values() if type(value) in _PLAIN),
        *map(id, held.get("_modules", {}).values()),
        *(
            each
            for parameter in held.get("_parameters", {}).values()
            if parameter is not None
            for each in (id(parameter), parameter.requires_grad, parameter._version)
        ),
    )


def _values(part: Any) -> Values:
    if isinstance(part, Optimizer):
        return {
            ("setting", f"group {number} {name}"): (_setting(name, value), None)
            for number, group in enumerate(part.param_groups, start=1)
            for name, value in group.items()
            if name == "params" or _is_plain(value)
        }
    held = part.__dict__
    found: Values = {
        ("attribute", name): (value, None)
        for name, value in held.items()
        if type(value) in _PLAIN and not name.startswith("_")
    }
    found["class", ""] = type(part).__name__, None
    for name, child in held.get("_modules", {}).items():
        found["class", name] = type(child).__name__, id(child)
    for name, parameter in held.get("_parameters", {}).items():
        if parameter is not None:
            found["requires_grad", name] = parameter.requires_grad, id(parameter)
            found["weight", name] = "", (id(parameter), parameter._version)
    return found


def _setting(name: str, value: Any) -> Any:
    return f"{len(value)} tensors" if name == "params" else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, Enum) or type(value) in _PLAIN
