"""Compares two `operations` traces: the first operation, and its line, that makes a difference.

Values are matched by their digests, not by their place in the sequence. So two loops that compute
the same in another order, by other operations, or with more operations in between, still match. A
value is common if both runs have it in this step. From each gradient and weight that differs at the
end of the step, the values that only one run has are followed back through the operations that made
them. Where all inputs of an operation are common and its output is not, the difference begins.
Values that only one run has but that lead to no difference are of no interest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pyarrow.compute as pc

from harness.results.divergence import Divergence
from harness.results.localization import (
    Draws,
    Operation,
    OperationDifference,
    OperationKind,
)
from harness.results.record import RunRecord

__all__ = ["OperationAnswer", "compare_operations"]

Row = dict[str, Any]


class OperationAnswer(NamedTuple):
    """The first operation that differs, or why none is known."""

    difference: OperationDifference | None
    note: str
    counts: tuple[int, int]
    """Number of operations in the step in both runs."""


def compare_operations(
    reference: RunRecord, candidate: RunRecord, first: Divergence
) -> OperationAnswer:
    """Compare two runs that both recorded the operations of the step of their first divergence.

    Raises `RecordError` if a trace is damaged.
    """
    left, right = _rows_by_rank(reference), _rows_by_rank(candidate)
    counts = (sum(map(len, left.values())), sum(map(len, right.values())))
    if not all(counts):
        return OperationAnswer(None, "no operation was recorded in this step", counts)
    note = ""
    for rank in sorted(left.keys() & right.keys()):
        one, two = _Side(left[rank]), _Side(right[rank])
        one.ends, two.ends = _ends(reference, candidate, first)
        if not one.ends and not two.ends:  # as of an optimizer's state, whose tensors are not ends
            one.ends, two.ends = one.updated(), two.updated()
        found, why = _difference(one, two, first)
        if found is not None:
            several = reference.spec.processes > 1
            return OperationAnswer(
                found.model_copy(update={"rank": rank if several else None}), "", counts
            )
        note = note or why
    return OperationAnswer(None, note, counts)


def _rows_by_rank(record: RunRecord) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in record.trace("operations").to_pylist():
        found.setdefault(row["rank"], []).append(row)
    return {rank: sorted(rows, key=lambda row: row["number"]) for rank, rows in found.items()}


def _ends(
    reference: RunRecord, candidate: RunRecord, first: Divergence
) -> tuple[set[int], set[int]]:
    """Digests of the gradients and weights that only one run has at the end of the step."""
    columns = ("weight",) if first.stage == "weights" else ("gradient", "weight")
    one, two = (
        {
            digest
            for name in columns
            for digest in record.tensors.filter(pc.equal(record.tensors["step"], first.step))[
                name
            ].to_pylist()
            if digest
        }
        for record in (reference, candidate)
    )
    return one - two, two - one


_NOTHING_MADE = (
    "no operation of this step made what differs: each value is also in the other run, or was made "
    "outside of torch's operations"
)
_CONSTANT = (
    *("aten.zeros", "aten.ones", "aten.full", "aten.new_", "aten.fill_", "aten.zero_"),
    "aten.scalar_tensor",
)
_MADE_CONSTANT = "constant"
_FROM_PYTHON = "aten.lift"
_PHASES = ("before", "forward", "backward", "update", "after")


class _Value(NamedTuple):
    """A tensor within the step: its digest, and what made it if that is needed to tell it apart."""

    digest: int
    maker: str
    """A single number, or a tensor of zeros, is often equal by chance."""

    def is_common(self, other: _Side) -> bool:
        """Whether another run has the value, too; a constant always counts as common."""
        return self.maker == _MADE_CONSTANT or self in other.values


@dataclass
class _Side:
    """The operations of one run, with the values that they read and made."""

    rows: list[Row]
    ends: set[int] = field(default_factory=set)
    inputs: list[list[_Value]] = field(default_factory=list)
    outputs: list[list[_Value]] = field(default_factory=list)
    values: set[_Value] = field(default_factory=set)
    digests: set[int] = field(default_factory=set)
    _makers: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            read = zip(row["inputs"], row["input_sizes"], strict=True)
            self.inputs.append([self._read(digest, size, place) for digest, size in read])
            self.outputs.append([])
            made = zip(row["outputs"], row["output_sizes"], row["output_norms"], strict=True)
            name = row["operation"]
            own = _MADE_CONSTANT if name.startswith(_CONSTANT) else _base_name(name)
            for digest, size, norm in made:
                self.outputs[-1].append(_Value(digest, own if size == 1 or norm == 0 else ""))
                self._makers.setdefault(digest, []).append(place)
            self.values |= {*self.inputs[-1], *self.outputs[-1]}
            self.digests |= {*row["inputs"], *row["outputs"]}
        backward = [n for n, row in enumerate(self.rows) if row["phase"] == "backward"]
        self.last_backward = max(backward, default=-1)

    def _read(self, digest: int, size: int, place: int) -> _Value:
        maker = self.maker(digest, place)
        if maker is not None:
            made = self.outputs[maker]
            return next(value for value in made if value.digest == digest)
        return _Value(digest, "outside" if size == 1 else "")

    def maker(self, digest: int, before: int | None = None) -> int | None:
        """The last operation, before another, that made a value; None if none in this step did."""
        places = self._makers.get(digest, [])
        return next((n for n in reversed(places) if before is None or n < before), None)

    def updated(self) -> set[int]:
        """Digests of all values that the update made."""
        rows = (row for row in self.rows if row["phase"] == "update")
        return {digest for row in rows for digest in row["outputs"]}

    def origins(self, other: _Side) -> tuple[list[int], list[int]]:
        """Where the differences of this run's ends begin: operations, in their order.

        Second, the operations that read a value which only this run has, and which no operation of
        the step made.
        """
        ends = self.ends - other.digests
        waiting = [place for end in ends if (place := self.maker(end)) is not None]
        begins, enters, seen = set(), set(), set(waiting)
        while waiting:
            place = waiting.pop()
            own = [value for value in self.inputs[place] if not value.is_common(other)]
            if not own:
                begins.add(place)
            for value in own:
                maker = self.maker(value.digest, place)
                if maker is None:
                    enters.add(place)
                elif maker not in seen:
                    seen.add(maker)
                    waiting.append(maker)
        return sorted(begins), sorted(enters)

    def partner(self, other: _Side, place: int) -> int | None:
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

    def phase(self, place: int) -> str:
        """The phase of the step; what comes between two micro-batches belongs to the second."""
        phase: str = self.rows[place]["phase"]
        return "forward" if phase == "update" and place < self.last_backward else phase

    def shown(self, place: int, other: _Side) -> Operation:
        """An operation, as it is reported."""
        row = self.rows[place]
        phase = self.phase(place)
        backward = phase == "backward" and row["forward_place"]
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


def _base_name(operation: str) -> str:
    """What an operation computes, whether in place, for many tensors at once, or neither."""
    return operation.split(".")[1].removeprefix("_foreach_").rstrip("_")


def _difference(
    one: _Side, two: _Side, first: Divergence
) -> tuple[OperationDifference | None, str]:
    """The first operations that make a difference, or why there are none."""
    begins, enters = zip(one.origins(two), two.origins(one), strict=True)
    if first.stage == "rng":
        draws = _other_draws(one, two)
        if draws is not None:
            return draws, ""
        return None, "the operations of this step draw alike: the generators differed before it"
    places = [min(found, default=None) for found in begins]
    early = [min(found, default=None) for found in enters]
    if any(
        reads is not None and (makes is None or reads <= makes)
        for reads, makes in zip(early, places, strict=True)
    ):
        return _pair("enters", one, two, early[0], early[1]), ""
    if places == [None, None]:
        found = _other_update(one, two)
        return found, "" if found else _NOTHING_MADE
    return _of_places(one, two, places[0], places[1]), ""


def _pair(
    kind: OperationKind,
    one: _Side,
    two: _Side,
    left: int | None,
    right: int | None,
    arguments: tuple[tuple[str, str, str], ...] = (),
) -> OperationDifference:
    shown = [side.rows[n] for side, n in ((one, left), (two, right)) if n is not None]
    if all(row["operation"].startswith(_FROM_PYTHON) for row in shown):
        kind = "enters"
    return OperationDifference(
        kind=kind,
        reference=None if left is None else one.shown(left, two),
        candidate=None if right is None else two.shown(right, one),
        arguments=arguments,
    )


def _of_places(one: _Side, two: _Side, left: int | None, right: int | None) -> OperationDifference:
    """What differs between the operations at which the difference begins in the two runs."""
    same = _are_same(one, two, left, right)
    if not same and right is not None:
        partner = two.partner(one, right)
        if partner is not None and (left is None or partner <= left):
            left, same = partner, True
    if not same and left is not None:
        partner = one.partner(two, left)
        if partner is not None and (right is None or partner <= right):
            right, same = partner, True
    if left is None or right is None:
        return _pair("one_side", one, two, left, right)
    if same:
        return _same_operation(one, two, left, right)
    phases = [_PHASES.index(side.phase(n)) for side, n in ((one, left), (two, right))]
    if phases[0] != phases[1]:  # what the later one computes follows
        first = phases[0] < phases[1]
        return _pair("one_side", one, two, left if first else None, None if first else right)
    return _pair("others", one, two, left, right)


def _are_same(one: _Side, two: _Side, left: int | None, right: int | None) -> bool:
    """Whether two operations have one name and read values in common."""
    if left is None or right is None:
        return False
    if one.rows[left]["operation"] != two.rows[right]["operation"]:
        return False
    if not one.inputs[left] and not two.inputs[right]:
        return bool(one.rows[left]["module"] == two.rows[right]["module"])
    return bool(set(one.inputs[left]) & set(two.inputs[right]))


def _same_operation(one: _Side, two: _Side, left: int, right: int) -> OperationDifference:
    """How the same operation comes to other outputs in the two runs."""
    arguments = _other_arguments(one.rows[left], two.rows[right])
    if arguments:
        return _pair("arguments", one, two, left, right, arguments)
    if sorted(one.inputs[left]) != sorted(two.inputs[right]):
        return _pair(
            "inputs",
            one,
            two,
            _maker_of_first(one, left, two.inputs[right]),
            _maker_of_first(two, right, one.inputs[left]),
        )
    if not one.rows[left]["random"]:
        return _pair("output", one, two, left, right)
    return _other_draws(one, two) or _pair("random", one, two, left, right)


def _other_update(one: _Side, two: _Side) -> OperationDifference | None:
    """The first operation of the update that has other arguments, though all values are common."""
    waiting: dict[str, list[int]] = {}
    for place, row in enumerate(two.rows):
        if row["phase"] == "update":
            waiting.setdefault(row["operation"], []).append(place)
    for place, row in enumerate(one.rows):
        if row["phase"] == "update" and waiting.get(row["operation"]):
            other = waiting[row["operation"]].pop(0)
            arguments = _other_arguments(row, two.rows[other])
            if arguments and not row["operation"].startswith(_CONSTANT):
                return _pair("arguments", one, two, place, other, arguments)
    return None


def _maker_of_first(side: _Side, place: int, others: Sequence[_Value]) -> int:
    """What made the first input of an operation that is not among others; else the operation."""
    for value in side.inputs[place]:
        if value not in others:
            maker = side.maker(value.digest, place)
            if maker is not None:
                return maker
    return place


def _other_arguments(one: Row, two: Row) -> tuple[tuple[str, str, str], ...]:
    left, right = (dict(text.split("=", 1) for text in row["arguments"]) for row in (one, two))
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return tuple((name, left.get(name, "none"), right.get(name, "none")) for name in names)


def _other_draws(one: _Side, two: _Side) -> OperationDifference | None:
    """The draws of random numbers, if the two do not draw alike; None if they do."""
    left, right = (
        [
            (n, (row["operation"], *row["arguments"], *row["output_sizes"]))
            for n, row in enumerate(side.rows)
            if row["random"]
        ]
        for side in (one, two)
    )
    if [key for _, key in left] == [key for _, key in right]:
        return None
    return OperationDifference(
        kind="more_draws",
        draws=(
            tuple(_draws(one, [n for n, _ in left])),
            tuple(_draws(two, [n for n, _ in right])),
        ),
    )


def _draws(side: _Side, places: Iterable[int]) -> Iterator[Draws]:
    """How many operations draw random numbers, by the line that called them."""
    rows: Sequence[Row] = [side.rows[place] for place in places]
    counts = Counter((row["place"], row["source"]) for row in rows)
    for (place, source), count in counts.items():
        yield Draws(place=cast(str, place), source=source, operations=count)
