"""Compares what two programs did in Python until the end of a step: their statements, their state.

No operation of torch shows that a part of a model is frozen, that a schedule is stepped elsewhere,
or that rows are taken in another order. The statements that ran, and the lines that last set what
the step works with, do. Neither is said to be the cause of the divergence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from harness.comparison.names import NameMatch, match_tensors
from harness.results.divergence import Divergence
from harness.results.localization import Code, StateDifference, StatementDifferences
from harness.results.record import RunRecord
from harness.units import counted, on_one_line

__all__ = ["arguments_of", "compare_state", "compare_statements"]

_FEW_PLACES = 12
"""Up to so many places of the programs are listed."""
_FEW_STATEMENTS = 24
"""So many on both sides together."""
_SHARED = 0.5
"""Programs that share fewer of their statements are two programs, not two versions of one."""
_MOST = 5000
"""Statements; the time of aligning them grows with the square."""
_NAMES = 3
_INERT = frozenset({"capturable", "differentiable", "foreach", "fused", "initial_lr", "params"})
"""Settings of optimizers that change how it computes and not what, that nothing reads, or that only
say how parameters are grouped."""
_FOLDERS = ("_dir", "run_name")
"""Endings of the names of arguments that only say where something is written."""
_KINDS = ("seed", "class", "requires_grad", "attribute", "weight", "made", "setting", "argument")


def compare_statements(reference: RunRecord, candidate: RunRecord) -> StatementDifferences | None:
    """The statements that ran in one of two replays alone; None if they were not recorded.

    Raises `RecordError` if a trace is damaged.
    """
    (left, before), (right, also_before) = map(_statements, (reference, candidate))
    if not left or not right:
        return None
    counts = len(left), len(right)
    if max(counts) > _MOST:
        return StatementDifferences(
            statements=counts, note=f"more than {_MOST} statements ran; they were not compared"
        )
    texts = [[one.source for one in side] for side in (left, right)]
    matcher = difflib.SequenceMatcher(None, texts[0], texts[1], autojunk=False)
    parts = matcher.get_opcodes()
    shared = sum(j - i for kind, i, j, _, _ in parts if kind == "equal")
    if shared < _SHARED * min(counts):
        return StatementDifferences(
            statements=counts,
            note=f"the two programs share {shared} of their {counts[0]} and {counts[1]} statements",
            two_programs=True,
        )
    # Aligned as they are, however long, and shown as far as a reader wants them.
    alone = [
        (_shown(left[i:j], also_before), _shown(right[k:n], before))
        for kind, i, j, k, n in parts
        if kind != "equal"
    ]
    places = tuple(place for place in alone if any(place))
    listed = sum(len(side) for place in places for side in place)
    if len(places) > _FEW_PLACES or listed > _FEW_STATEMENTS:
        where = counted(len(places), "place")
        note = f"the two programs differ in {listed} statements at {where}"
        return StatementDifferences(statements=counts, note=note)
    return StatementDifferences(statements=counts, places=places)


def _statements(record: RunRecord) -> tuple[list[Code], set[str]]:
    """The statements of a run in their order, and the texts of those that ran before all of them.

    Of the latter the order is not known.
    """
    rows = [row for row in _rows(record, "statements") if row["rank"] == 0]
    rows.sort(key=lambda row: cast(int, row["number"]))
    followed = [Code(place=row["place"], source=row["source"]) for row in rows if row["number"]]
    return followed, {row["source"] for row in rows if not row["number"]}


def _shown(statements: Sequence[Code], ran_before: set[str]) -> tuple[Code, ...]:
    """The statements that the other run did not run before it was followed."""
    return tuple(
        Code(place=one.place, source=on_one_line(one.source))
        for one in statements
        if one.source not in ran_before
    )


def _rows(record: RunRecord, name: str) -> list[dict[str, Any]]:
    if name not in record.header.traces:
        return []
    return cast(list[dict[str, Any]], record.trace(name).to_pylist())


class _Part(NamedTuple):
    """A part of the state of one run."""

    value: str
    code: Code | None


def compare_state(
    reference: RunRecord, candidate: RunRecord, first: Divergence
) -> tuple[StateDifference, ...]:
    """The parts of the state that differ between two replays, those of the model first.

    Raises `RecordError` if a trace is damaged.
    """
    match = match_tensors(reference, candidate)
    left, right = _state(reference), _translated(_state(candidate), match)
    wanted = _other_initial_weights(reference, candidate, first, match)
    modules = [{path for kind, path in side if kind == "class"} for side in (left, right)]
    # Of models with other names, or few in common, parts without a partner say nothing.
    shared = len(modules[0] & modules[1])
    related = not match.translates and 2 * shared >= max(1, *map(len, modules))
    containers = _containers(left) & _containers(right)
    groups: dict[tuple[Any, ...], list[str]] = {}
    for key in {**left, **right}:
        kind, path = key
        one, two = left.get(key), right.get(key)
        if kind == "weight":
            if path not in wanted or one is None or two is None:
                continue
        elif one is None or two is None:
            if kind != "class" or not related:
                continue
        elif one.value == two.value or (kind == "class" and path in containers):
            continue
        name, what = _named(kind, path)
        if what in _INERT or (kind == "argument" and what.endswith(_FOLDERS)):
            continue
        groups.setdefault((kind, what, one, two), []).append(name)
    found = [
        _difference(kind, what, one, two, names) for (kind, what, one, two), names in groups.items()
    ]
    return tuple(sorted(found, key=lambda one: _KINDS.index(one.kind)))


def arguments_of(record: RunRecord) -> Code | None:
    """The statement that made the settings of a Trainer; None if there is none."""
    state = _state(record)
    return next((part.code for (kind, _), part in state.items() if kind == "argument"), None)


def _difference(
    kind: Any, what: str, one: _Part | None, two: _Part | None, names: Sequence[str]
) -> StateDifference:
    values = (one and one.value, two and two.value)
    return StateDifference(
        kind=kind,
        what=what,
        names=tuple(names[:_NAMES]),
        count=len(names),
        values=cast(Any, values),
        reference=one and one.code,
        candidate=two and two.code,
    )


def _named(kind: str, path: str) -> tuple[str, str]:
    """The module, tensor or group, and which of its values a path means."""
    if kind == "attribute":
        module, _, what = path.rpartition(".")
        return module, what
    if kind == "argument":
        return "TrainingArguments", path
    if kind == "setting":
        group, _, what = path.rpartition(" ")
        return group, what
    return path.removesuffix("."), ""


State = Mapping[tuple[str, str], _Part]
"""By kind and name."""


def _state(record: RunRecord) -> State:
    found: dict[tuple[str, str], _Part] = {}
    for row in _rows(record, "state"):
        if row["rank"] == 0:
            code = None
            if row["place"]:
                code = Code(place=row["place"], source=on_one_line(row["source"]))
            found[row["kind"], row["name"]] = _Part(row["value"], code)
    return _classes_once(found)


def _translated(state: State, match: NameMatch) -> State:
    """The state of the candidate by the names of the reference; what has none there is left out."""
    if not match.translates:
        return state
    modules = {_module(theirs): _module(ours) for theirs, ours in match.pairs.items()}
    found: dict[tuple[str, str], _Part] = {}
    for (kind, path), part in state.items():
        name: str | None = path
        if kind in ("requires_grad", "weight"):
            name = match.pairs.get(path)
        elif kind in ("attribute", "class"):
            module, what = path, ""
            if kind == "attribute":
                module, _, what = path.rpartition(".")
                what = f".{what}"
            name = f"{modules[module]}{what}" if module in modules else None
        if name is not None:
            found[kind, name] = part
    return found


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def _classes_once(found: State) -> State:
    """Without the second mention of a module: as what its parent holds, and as itself.

    The line that put it where it is counts, so the first of the two stays.
    """
    kept: dict[tuple[str, str], _Part] = {}
    for (kind, path), part in found.items():
        key = (kind, path.removesuffix(".")) if kind == "class" else (kind, path)
        kept.setdefault(key, part)
    return kept


def _containers(state: State) -> set[str]:
    """The modules that hold others, whose own class is often only a name."""
    paths = {path for kind, path in state if kind == "class" and path}
    return {"", *(path.rpartition(".")[0] for path in paths)} if paths else set()


def _other_initial_weights(
    reference: RunRecord, candidate: RunRecord, first: Divergence, match: NameMatch
) -> frozenset[str]:
    """Names in the reference of the tensors of both whose values differ before the first step."""
    if first.stage != "initial_weights":
        return frozenset()
    ours, theirs = _initial(reference), _initial(candidate)
    return frozenset(
        name
        for other, name in match.pairs.items()
        if name in ours and other in theirs and ours[name] != theirs[other]
    )


def _initial(record: RunRecord) -> dict[str, int]:
    rows: Iterable[dict[str, Any]] = record.tensors.to_pylist()
    return {row["tensor"]: row["weight"] for row in rows if row["step"] == 0}
