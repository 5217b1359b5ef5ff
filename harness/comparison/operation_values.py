"""The operations of one run in one step, with the values that they read and made.

A value is known by its digest. A value is common if both runs have it in this step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from harness.results.localization import Code, Operation, OperationDifference, OperationKind, Share

__all__ = ["CONSTANT", "Row", "Side", "Value", "base_name", "other_arguments", "pair_of"]

Row = dict[str, Any]

CONSTANT = (
    *("aten.zeros", "aten.ones", "aten.full", "aten.new_", "aten.fill_", "aten.zero_"),
    "aten.scalar_tensor",
)
_MADE_CONSTANT = "constant"
_FROM_PYTHON = "aten.lift"
_EXCHANGES = ("c10d.", "_c10d_functional.")
"""Operations that exchange values with other processes."""


class Value(NamedTuple):
    """A tensor within the step: its digest, and what made it if that is needed to tell it apart."""

    digest: int
    maker: str
    """A single number, or a tensor of zeros, is often equal by chance."""

    def is_common(self, other: Side) -> bool:
        """Whether another run has the value, too; a constant always counts as common."""
        return self.maker == _MADE_CONSTANT or self in other.values


class Origins(NamedTuple):
    """The operations of one run that make, or lead to, values of its ends that only it has."""

    begins: list[int]
    """All their inputs are in both runs."""
    enters: list[int]
    """They read a value which only this run has, and which no operation of the step made."""
    through: list[int]
    """All of them, in the order in which they ran."""


@dataclass
class Side:
    """The operations of one run, with the values that they read and made."""

    rows: list[Row]
    ends: set[int] = field(default_factory=set)
    inputs: list[list[Value]] = field(default_factory=list)
    outputs: list[list[Value]] = field(default_factory=list)
    values: set[Value] = field(default_factory=set)
    digests: set[int] = field(default_factory=set)
    _makers: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            read = zip(row["inputs"], row["input_sizes"], strict=True)
            self.inputs.append([self._read(digest, size, place) for digest, size in read])
            self.outputs.append([])
            made = zip(row["outputs"], row["output_sizes"], row["output_norms"], strict=True)
            name = row["operation"]
            own = _MADE_CONSTANT if name.startswith(CONSTANT) else base_name(name)
            for digest, size, norm in made:
                self.outputs[-1].append(Value(digest, own if size == 1 or norm == 0 else ""))
                self._makers.setdefault(digest, []).append(place)
            self.values |= {*self.inputs[-1], *self.outputs[-1]}
            self.digests |= {*row["inputs"], *row["outputs"]}
        backward = [n for n, row in enumerate(self.rows) if row["phase"] == "backward"]
        self.last_backward = max(backward, default=-1)
        self._exchanges = [
            n for n, row in enumerate(self.rows) if row["operation"].startswith(_EXCHANGES)
        ]

    def _read(self, digest: int, size: int, place: int) -> Value:
        maker = self.maker(digest, place)
        if maker is not None:
            made = self.outputs[maker]
            return next(value for value in made if value.digest == digest)
        return Value(digest, "outside" if size == 1 else "")

    def maker(self, digest: int, before: int | None = None) -> int | None:
        """The last operation, before another, that made a value; None if none in this step did."""
        places = self._makers.get(digest, [])
        return next((n for n in reversed(places) if before is None or n < before), None)

    def updated(self) -> set[int]:
        """Digests of all values that the update wrote into tensors, as it does into its state."""
        rows = (row for row in self.rows if row["phase"] == "update")
        written = (row for row in rows if row["operation"].split(".")[1].endswith("_"))
        return {digest for row in written for digest in row["outputs"]}

    def origins(self, other: Side) -> Origins:
        """Where the differences of this run's ends begin, and what they pass through."""
        ends = self.ends - other.digests
        waiting = [place for end in ends if (place := self.maker(end)) is not None]
        begins: set[int] = set()
        enters: set[int] = set()
        seen = set(waiting)
        while waiting:
            place = waiting.pop()
            own = [value for value in self.inputs[place] if not value.is_common(other)]
            if not own:
                (enters if place in self._exchanges else begins).add(place)
            for value in own:
                maker = self.maker(value.digest, place)
                makers = self._sent(other, place) if maker is None else [maker]
                if not makers:
                    enters.add(place)
                waiting += [n for n in makers if n not in seen]
                seen.update(makers)
        return Origins(sorted(begins), sorted(enters), sorted(seen))

    def _sent(self, other: Side, before: int) -> list[int]:
        """The exchanges between processes, before an operation, of values only this run has.

        What they return is there only when they end, so its digest is not known.
        """
        return [
            n
            for n in self._exchanges
            if n < before and not all(value.is_common(other) for value in self.inputs[n])
        ]

    def partner(self, other: Side, place: int) -> int | None:
        """The operation of `other` of the same name that reads the same values; None: none does."""
        name, read = self.rows[place]["operation"], sorted(self.inputs[place])
        if not read:
            return None  # many operations read nothing
        same: list[int] = [
            n
            for n, row in enumerate(other.rows)
            if row["operation"] == name and sorted(other.inputs[n]) == read
        ]
        if not same:
            return None
        before: int = sum(
            row["operation"] == name and sorted(self.inputs[n]) == read
            for n, row in enumerate(self.rows[:place])
        )
        return same[min(before, len(same) - 1)]

    def counterpart(self, other: Side, place: int) -> tuple[int | None, Share]:
        """What `other` does with the values that the operation at `place` reads.

        The first operation of the same phase that reads most of them, rather one of which this run
        lacks an output; else the last one that made one of them; else the first that reads most in
        another phase. Second: how many it reads. Constants are not looked for.
        """
        wanted = {value for value in self.inputs[place] if value.maker != _MADE_CONSTANT}
        reading = [
            (
                other.phase(n) != self.phase(place),
                all(value in self.values for value in other.outputs[n]),
                -len(wanted & set(read)),
                n,
            )
            for n, read in enumerate(other.inputs)
            if wanted & set(read)
        ]
        later, _, _, first = min(reading, default=(True, True, 0, None))
        if later:
            made = [n for value in wanted if (n := other.maker(value.digest)) is not None]
            if made:
                return max(made), "none"
        if first is None:
            return None, "none"
        return first, "all" if wanted <= set(other.inputs[first]) else "some"

    def puts_in(self, other: Side, place: int, before: int) -> bool:
        """Whether the operation at `place` is one more, before that of `other` at `before`.

        Then this run computes the latter too, but from what the former makes.
        """

        def same(side: Side, wanted: Row) -> list[int]:
            keys = ("operation", "arguments", "phase")
            rows = enumerate(side.rows)
            return [n for n, row in rows if all(row[key] == wanted[key] for key in keys)]

        ours, theirs = (same(side, other.rows[before]) for side in (self, other))
        if len(ours) != len(theirs):
            return False
        return self._follows(ours[theirs.index(before)], place)

    def _follows(self, place: int, first: int) -> bool:
        """Whether an operation reads, directly or not, what another made."""
        waiting, seen = [place], {place}
        while waiting:
            now = waiting.pop()
            for value in self.inputs[now]:
                maker = self.maker(value.digest, now)
                if maker is not None and maker >= first and maker not in seen:
                    seen.add(maker)
                    waiting.append(maker)
        return first in seen and place != first

    def phase(self, place: int) -> str:
        """The phase of the step; what comes between two micro-batches belongs to the second."""
        phase: str = self.rows[place]["phase"]
        return "forward" if phase == "update" and place < self.last_backward else phase

    def lines(self, places: Sequence[int]) -> tuple[Code, ...]:
        """The distinct lines of the user's code that called operations, in their order.

        Up to the backward pass, through which what differs reaches every layer.
        """
        rows = [self.rows[n] for n in places if self.phase(n) in ("before", "forward")]
        found = {row["place"]: row["source"] for row in rows if row["place"]}
        return tuple(Code(place=place, source=source) for place, source in found.items())

    def adds_gradients(self, place: int) -> bool:
        """Whether the operation adds to a gradient, so that no forward pass has a line for it."""
        return self.phase(place) == "backward" and not self.rows[place]["forward_place"]

    def shown(self, place: int, other: Side, called: bool = False) -> Operation:
        """An operation, as it is reported. `called`: with the line that called the backward pass,
        not that of the forward pass."""
        row = self.rows[place]
        phase = self.phase(place)
        backward = phase == "backward" and row["forward_place"] and not called
        norms = (
            norm
            for value, norm in zip(self.outputs[place], row["output_norms"], strict=True)
            if not value.is_common(other) and math.isfinite(norm)
        )
        return Operation(
            operation=row["operation"],
            phase=cast(Any, phase),
            place=row["forward_place"] if backward else row["place"],
            source=row["forward_source"] if backward else row["source"],
            library=row["library"],
            module=row["module"],
            norm=next(norms, None),
        )


def base_name(operation: str) -> str:
    """What an operation computes, whether in place, for many tensors at once, or neither."""
    return operation.split(".")[1].removeprefix("_foreach_").rstrip("_")


def pair_of(
    kind: OperationKind,
    one: Side,
    two: Side,
    left: int | None,
    right: int | None,
    arguments: tuple[tuple[str, str, str], ...] = (),
) -> OperationDifference:
    """The difference of two operations, which stand at `left` and `right`; None: there is none."""
    shown = [side.rows[n] for side, n in ((one, left), (two, right)) if n is not None]
    if all(row["operation"].startswith(_FROM_PYTHON) for row in shown):
        kind = "enters"
    return OperationDifference(
        kind=kind,
        reference=None if left is None else one.shown(left, two),
        candidate=None if right is None else two.shown(right, one),
        arguments=arguments,
    )


def other_arguments(one: Row, two: Row) -> tuple[tuple[str, str, str], ...]:
    """Name and both values of each argument that differs; `none` if an operation has none."""
    left, right = (dict(text.split("=", 1) for text in row["arguments"]) for row in (one, two))
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return tuple((name, left.get(name, "none"), right.get(name, "none")) for name in names)
