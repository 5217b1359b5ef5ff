"""Sentences about a first divergence that other traces and the header allow: inputs, optimizers.

They state what the records hold, without a cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.comparison.alignment import Alignment
from harness.results.arrow import int32
from harness.results.header import OptimizerSeen
from harness.results.ranks import rank_of
from harness.results.record import RunRecord
from harness.units import counted

__all__ = [
    "input_detail",
    "missing_update",
    "next_inputs",
    "optimizer_detail",
    "passes_draw",
    "repeated_backward",
    "rows_in_training_set",
    "same_rows",
    "same_rows_by_input",
]

_SIDES = ("reference", "candidate")
_LOOKED_AT = 64
"""Micro-batches from which it is told that two runs read the same rows."""
_TELLING = 3
"""Fewest different values of an input that tells rows apart; a mask is often the same."""


def input_detail(both: Alignment, step: int, number: int) -> str:
    """Which inputs of the model only one run passes, or differ, in micro-batch `number` of a step.

    `number`: as in the trace, so it counts the processes too.
    """
    found = [_inputs(record, step, number) for record in (both.reference, both.candidate)]
    one, two = found
    if one is None or two is None:
        return ""
    parts = []
    whole = [[name for name in names if "[" not in name] for names in (one, two)]  # else of one row
    for side, ours, theirs in (("reference", *whole), ("candidate", *whole[::-1])):
        absent = [name for name in theirs if name not in ours]
        if absent:
            parts.append(f"the batches of the {side} have no {' and no '.join(absent)}")
    if not parts:
        other = [name for name in whole[0] if one[name] != two[name]]
        if len(other) < len(whole[0]) and set(other) - {"labels"}:
            parts.append(f"only {_listed(other)} {'differs' if len(other) == 1 else 'differ'}")
        if "labels" in other:
            parts.append(_labels_that_differ(both, step, number, one, two))
    return "; ".join(filter(None, parts))


def _labels_that_differ(
    both: Alignment, step: int, number: int, one: dict[str, Any], two: dict[str, Any]
) -> str:
    """The rows whose labels differ, by their number in the set or their place in the batch."""
    places = [n for n in range(len(one)) if one.get(f"labels[{n}]") != two.get(f"labels[{n}]")]
    ids = [
        _passes(run.micro_batches, step, ("sample_ids",))
        for run in (both.reference, both.candidate)
    ]
    rows = ids[0].get(number, (None,))[0]
    if not places:
        return ""
    if rows is None or ids[0].get(number) != ids[1].get(number) or max(places) >= len(rows):
        known, which = [place + 1 for place in places], " of the batch"
    else:
        known, which = [rows[place] for place in places], ""
    if len(known) > 4:
        return f"the labels of {len(known)} rows differ"
    noun = "row" if len(known) == 1 else "rows"
    return f"the labels of {noun} {_listed([str(row) for row in sorted(known)])}{which} differ"


def _listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def passes_draw(record: RunRecord) -> bool:
    """Whether a pass draws from torch's generators; also if that was not recorded."""
    draws = record.circumstances["draws"]
    return not len(draws) or draws.null_count > 0 or bool(pc.any(draws).as_py())


def same_rows_by_input(both: Alignment, step: int) -> bool:
    """Whether the two read the same rows from `step` on, though they make other batches of them.

    Then an input that tells rows apart is equal in each of the next micro-batches. A batch may hold
    few different labels, so they do not tell rows apart.
    """
    one, two = (next_inputs(record, step) for record in (both.reference, both.candidate))
    places = one.keys() & two.keys()
    names = set.intersection(*(set(one[place]) for place in places)) if places else set()
    return any(
        all(one[place][name] == two[place].get(name) for place in places)
        and len({one[place][name] for place in places}) >= _TELLING
        for name in names - {"labels"}
        if "[" not in name
    )


def next_inputs(record: RunRecord, step: int) -> dict[tuple[int, int], dict[str, Any]]:
    """Digests of the inputs of some micro-batches from `step` on, by step and number."""
    table = record.circumstances
    rows = table.filter(pc.greater_equal(table["step"], int32(step)))
    return {
        (row["step"], row["micro_batch"]): dict(
            zip(row["inputs"] or (), row["input_digests"] or (), strict=False)
        )
        for row in rows.slice(0, _LOOKED_AT).to_pylist()
    }


def _inputs(record: RunRecord, step: int, number: int) -> dict[str, Any] | None:
    table = record.circumstances
    rows = table.filter(
        pc.and_(
            pc.equal(table["step"], int32(step)),
            pc.equal(table["micro_batch"], int32(number)),
        )
    )
    if not len(rows):
        return None
    names, digests = (rows[name][0].as_py() for name in ("inputs", "input_digests"))
    if names is None or digests is None or len(names) != len(digests):
        return None
    return dict(zip(names, digests, strict=True))


def optimizer_detail(both: Alignment, step: int) -> str:
    """How the optimizers of the two differ, if that can explain an update at `step`."""
    records = both.reference, both.candidate
    twice = [_updated_twice(record, step) for record in records]
    for side, count in zip(_SIDES, twice, strict=True):
        if count and not all(twice):
            return f"at step {step} the {side} updates {counted(count, 'tensor')} more than once"
    bare = [_without_state(record, step) for record in records]
    begun = [_begun(record).get(step) for record in records]
    for side, none, rule, others in zip(_SIDES, bare, begun, bare[::-1], strict=True):
        if none and not others:
            if rule is None:
                return f"at step {step} the optimizer of the {side} has no state"
            return f"from step {step} on another {rule}, which has no state, updates the {side}"
    for side, rule, other in zip(_SIDES, begun, begun[::-1], strict=True):
        if rule is not None and other is None:
            return f"from step {step} on another {rule} updates the {side}"
    seen = [_optimizers(record) for record in records]
    if not all(seen) or _kinds(seen[0]) == _kinds(seen[1]):
        return ""
    one, two = (_described(optimizers) for optimizers in seen)
    return f"the reference is updated by {one}, the candidate by {two}"


def _without_state(record: RunRecord, step: int) -> bool:
    """Whether an optimizer that keeps a state had none before its update at a step."""
    seen = record.header.observed.get("optimizer_without_state", ())
    return any(each.step == step for each in seen)


def _optimizers(record: RunRecord) -> list[OptimizerSeen]:
    """The optimizers; each process of a resumed run has its own, which count as one."""
    if not record.header.resumed_from:
        return list(record.header.optimizers)
    steps: dict[tuple[str, int], int] = {}
    for each in record.header.optimizers:
        kind = each.rule, each.parameters
        steps[kind] = steps.get(kind, 0) + each.steps
    return [OptimizerSeen(rule=r, parameters=p, steps=n) for (r, p), n in steps.items()]


def _updated_twice(record: RunRecord, step: int) -> int:
    """Number of tensors that more than one step of an optimizer updated at a step."""
    seen = record.header.observed.get("updated_twice", ())
    return next((int(each.value or 1) for each in seen if each.step == step), 0)


def _kinds(optimizers: Sequence[OptimizerSeen]) -> list[tuple[str, int, int]]:
    return sorted((each.rule, each.parameters, each.steps) for each in optimizers)


def _begun(record: RunRecord) -> dict[int, str]:
    """The steps at which an optimizer of as many parameters takes over from the one before."""
    optimizers = _optimizers(record)
    if len({each.parameters for each in optimizers}) != 1:
        return {}
    begun, step = {}, 1
    for each in optimizers:
        if step > 1:
            begun[step] = each.rule
        step += each.steps
    return begun


def _described(optimizers: Sequence[OptimizerSeen]) -> str:
    parts = [
        f"{each.rule} ({counted(each.parameters, 'parameter')}, {counted(each.steps, 'step')})"
        for each in optimizers[:4]
    ]
    more = len(optimizers) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def missing_update(both: Alignment, step: int) -> str:
    """Whether one run makes no update where the other makes one.

    Its step holds the micro-batches of two steps. Larger batches would hold the same rows.
    """
    tables = both.reference.micro_batches, both.candidate.micro_batches
    for side, (run, other) in zip(_SIDES, (tables, tables[::-1]), strict=True):
        for column in ("sample_ids", "rows"):
            whole = _rows_of(run, column, step)
            first, second = (_rows_of(other, column, at) for at in (step, step + 1))
            if None in (whole, first, second) or not first or not second:
                continue
            assert whole is not None
            sizes = [
                len(_passes(run, step, ())),
                *(len(_passes(other, s, ())) for s in (step, step + 1)),
            ]
            if whole == first + second and sizes[0] == sizes[1] + sizes[2]:
                others = _SIDES[side == "reference"]
                return (
                    f"an update is missing in the {side}: its step {step} holds the rows of steps "
                    f"{step} and {step + 1} of the {others}"
                )
    return ""


def repeated_backward(both: Alignment, step: int, number: int) -> str:
    """Whether micro-batch `number`, which only one run has, repeats one before it in the step.

    `number`: as in the trace, so it counts the processes too.
    """
    runs = both.reference, both.candidate
    names = ("sample_ids", "rows", "batch_content", "label_content", "rng")
    found = [_passes(run.micro_batches, step, names) for run in runs]
    for side, run, ours, theirs in zip(_SIDES, runs, found, found[::-1], strict=True):
        if number not in ours or number in theirs:
            continue
        size = run.spec.processes
        for earlier in range(number - size, 0, -size):
            if ours.get(earlier) == ours[number]:
                return (
                    f"only the {side} has this micro-batch, and it repeats micro-batch "
                    f"{rank_of(earlier, size)[1]}: the same rows, batch and random state go "
                    "backward again"
                )
    return ""


def _passes(table: pa.Table, step: int, names: Sequence[str]) -> dict[int, tuple[Any, ...]]:
    """Some columns of each micro-batch of a step, by its number."""
    rows = table.filter(pc.equal(table["step"], int32(step)))
    columns = [rows[name].to_pylist() for name in names]
    numbers = rows["micro_batch"].to_pylist()
    values = zip(*columns, strict=True) if columns else [()] * len(numbers)
    return dict(zip(numbers, values, strict=True))


def rows_in_training_set(record: RunRecord) -> int:
    """Number of rows of the training set; 0 if it is not known."""
    header = record.header
    return round(header.samples / header.epochs) if header.epochs else 0


def same_rows(both: Alignment) -> bool:
    """Whether both runs read the same rows equally often, by number or else by digest."""
    tables = both.reference.micro_batches, both.candidate.micro_batches
    for column in ("sample_ids", "rows"):
        if any(table[column].null_count for table in tables):
            continue
        read = [pc.list_flatten(table[column]).value_counts() for table in tables]
        counts = [{each["values"]: each["counts"] for each in one.to_pylist()} for one in read]
        return counts[0] == counts[1]
    return False


def _rows_of(table: pa.Table, column: str, step: int) -> list[int] | None:
    lists = table[column].filter(pc.equal(table["step"], int32(step))).to_pylist()
    if not lists or None in lists:
        return None
    return [row for rows in lists for row in rows]
