"""Compares two `operations` traces: the first operation, and its line, that makes a difference.

Values are matched by their digests, not by their place in the sequence. So two loops that compute
the same in another order, by other operations, or with more operations in between, still match. A
value is common if both runs have it in this step. From each gradient and weight that differs at the
end of the step, the values that only one run has are followed back through the operations that made
them. Where all inputs of an operation are common and its output is not, the difference begins.
Values that only one run has but that lead to no difference are of no interest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow.compute as pc

from harness.comparison.operation_draws import first_draw, other_draws
from harness.comparison.operation_values import (
    CONSTANT,
    Origins,
    Row,
    Side,
    Value,
    other_arguments,
    pair_of,
)
from harness.results.divergence import Divergence
from harness.results.localization import Code, OperationDifference
from harness.results.record import RunRecord

__all__ = ["OperationAnswer", "compare_operations"]

_FEW_LINES = 5


class OperationAnswer(NamedTuple):
    """The first operation that differs, or why none is known."""

    difference: OperationDifference | None
    note: str
    counts: tuple[int, int]
    """Number of operations in the step in both runs."""
    draw: OperationDifference | None = None
    """The first draw of random numbers that differs, where what differs comes out of Python."""
    lines: tuple[tuple[Code, ...], tuple[Code, ...]] = ((), ())
    """The first lines of each run that make values which lead to the difference, and which it alone
    has."""


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
    found: list[tuple[int, OperationDifference]] = []
    lines: dict[int, tuple[tuple[Code, ...], tuple[Code, ...]]] = {}
    notes: list[str] = []
    draws: dict[int, OperationDifference | None] = {}
    for rank in sorted(left.keys() & right.keys()):
        one, two = Side(left[rank]), Side(right[rank])
        one.ends, two.ends = _ends(reference, candidate, first)
        if not one.ends and not two.ends:  # as of an optimizer's state, whose tensors are not ends
            one.ends, two.ends = one.updated(), two.updated()
        origins = one.origins(two), two.origins(one)
        difference, why = _difference(one, two, origins, first)
        if difference is not None:
            found.append((rank, difference))
            left_lines, right_lines = one.lines(origins[0].through), two.lines(origins[1].through)
            lines[rank] = left_lines[:_FEW_LINES], right_lines[:_FEW_LINES]
        notes.append(why)
        out_of_python = difference is None or difference.kind == "enters"
        if out_of_python or first.stage in ("data_order", "batch_content"):
            draws[rank] = first_draw(one, two)
    several = reference.spec.processes > 1
    if not found:
        draw = next(filter(None, draws.values()), None)
        return OperationAnswer(None, notes[0] if notes else "", counts, draw)
    rank, difference = min(found, key=_earliest)
    update = {"rank": rank if several else None}
    draw = draws.get(rank)
    if draw is not None and (draw.reference, draw.candidate) == (
        difference.reference,
        difference.candidate,
    ):
        draw = None
    return OperationAnswer(difference.model_copy(update=update), "", counts, draw, lines[rank])


def _one_side(one: Side, two: Side, left: int | None, right: int | None) -> OperationDifference:
    """An operation that only one run has, beside what the other does with the values it reads."""
    found = pair_of("one_side", one, two, left, right)
    if found.kind != "one_side":
        return found
    side, other, place = (one, two, left) if right is None else (two, one, right)
    assert place is not None
    partner, reads = side.counterpart(other, place)
    if partner is None:
        return found
    shown = other.shown(partner, side, side.adds_gradients(place))
    return found.model_copy(update={"counterpart": shown, "counterpart_reads": reads})


def _earliest(found: tuple[int, OperationDifference]) -> tuple[bool, int, int]:
    """The order of the processes: what enters one of them may come from another."""
    rank, difference = found
    sides = (difference.reference, difference.candidate)
    phases = [_PHASES.index(each.phase) for each in sides if each is not None]
    return difference.kind == "enters", min(phases, default=0), rank


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
_PHASES = ("before", "forward", "backward", "update", "after")


def _difference(
    one: Side, two: Side, origins: tuple[Origins, Origins], first: Divergence
) -> tuple[OperationDifference | None, str]:
    """The first operations that make a difference, or why there are none."""
    if first.stage == "rng":
        draws = other_draws(one, two)
        if draws is not None:
            return draws, ""
        return None, "the operations of this step draw alike: the generators differed before it"
    places = [min(found.begins, default=None) for found in origins]
    early = [min(found.enters, default=None) for found in origins]
    if any(
        reads is not None and (makes is None or reads <= makes)
        for reads, makes in zip(early, places, strict=True)
    ):
        return pair_of("enters", one, two, early[0], early[1]), ""
    if places == [None, None]:
        found = _other_update(one, two)
        return found, "" if found else _NOTHING_MADE
    return _of_places(one, two, places[0], places[1]), ""


def _of_places(one: Side, two: Side, left: int | None, right: int | None) -> OperationDifference:
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
        return _one_side(one, two, left, right)
    if same:
        return _same_operation(one, two, left, right)
    phases = [_PHASES.index(side.phase(n)) for side, n in ((one, left), (two, right))]
    if max(phases) > _PHASES.index("backward") and phases[0] != phases[1]:
        # What the later one computes follows. A loss that is computed by one operation in one run
        # and by several in the other begins in the forward pass of the one and the backward pass
        # of the other.
        first = phases[0] < phases[1]
        return _one_side(one, two, left if first else None, None if first else right)
    put_in = two.puts_in(one, right, left), one.puts_in(two, left, right)
    if put_in == (True, False):
        return _one_side(one, two, None, right)
    if put_in == (False, True):
        return _one_side(one, two, left, None)
    return pair_of("others", one, two, left, right)


def _are_same(one: Side, two: Side, left: int | None, right: int | None) -> bool:
    """Whether two operations have one name, and read values in common or stand at one place."""
    if left is None or right is None:
        return False
    if one.rows[left]["operation"] != two.rows[right]["operation"]:
        return False
    if set(one.inputs[left]) & set(two.inputs[right]):
        return True
    keys = ("module", "phase", "arguments") if one.inputs[left] else ("module",)
    return all(one.rows[left][key] == two.rows[right][key] for key in keys)


def _same_operation(one: Side, two: Side, left: int, right: int) -> OperationDifference:
    """How the same operation comes to other outputs in the two runs."""
    arguments = other_arguments(one.rows[left], two.rows[right])
    if arguments:
        return pair_of("arguments", one, two, left, right, arguments)
    if sorted(one.inputs[left]) != sorted(two.inputs[right]):
        return pair_of(
            "inputs",
            one,
            two,
            _maker_of_first(one, left, two.inputs[right]),
            _maker_of_first(two, right, one.inputs[left]),
        )
    if not one.rows[left]["random"]:
        return pair_of("output", one, two, left, right)
    return other_draws(one, two) or pair_of("random", one, two, left, right)


def _other_update(one: Side, two: Side) -> OperationDifference | None:
    """The first operation of the update that has other arguments, though all values are common."""
    for place, row in enumerate(one.rows):
        other = one.partner(two, place) if row["phase"] == "update" else None
        if other is not None:
            arguments = other_arguments(row, two.rows[other])
            if arguments and not row["operation"].startswith(CONSTANT):
                return pair_of("arguments", one, two, place, other, arguments)
    return None


def _maker_of_first(side: Side, place: int, others: Sequence[Value]) -> int:
    """What made the first input of an operation that is not among others; else the operation."""
    for value in side.inputs[place]:
        if value not in others:
            maker = side.maker(value.digest, place)
            if maker is not None:
                return maker
    return place
