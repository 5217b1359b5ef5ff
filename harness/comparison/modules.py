"""Compares two `modules` traces: the first module, forward or backward, that diverges.

Calls of modules are compared in the order in which they ended, so inner modules precede the modules
that contain them. The computation diverges in the first call with equal inputs and different
outputs. This module does not explain why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.results.divergence import Divergence
from harness.results.localization import Localization, ModuleDifference
from harness.results.ranks import rank_of
from harness.results.record import RunRecord

__all__ = ["compare_modules", "is_computed", "why_not_localized"]

Row = dict[str, Any]
_STAGES_OF_MODULES = ("rng", "loss", "gradients", "grad_norm")
_STAGES_OF_OPERATIONS = (
    *("initial_weights", "data_order", "batch_content", *_STAGES_OF_MODULES),
    *("learning_rate", "weights", "optimizer_state"),
)
_ELSEWHERE = {
    "config": "the settings of the two differ",
    "initial_weights": "the initial weights of the two differ",
    "data_order": "the two use different rows, before any module runs",
    "batch_content": "the two make different batches of the same rows, before any module runs",
    "learning_rate": "loss and gradients are equal; the two diverge in the learning rate of the "
    "update that follows",
    "weights": "loss and gradients are equal; the two diverge in the update that follows, or in a "
    "change of the weights after it",
    "optimizer_state": "loss and gradients are equal; the two diverge in the update that follows",
    "step_count": "the common steps of the two are equal",
    "evaluation": "the training of the two is equal",
}


def why_not_localized(first: Divergence | None, outcome: str) -> str:
    """Why a replay of a pair cannot hold an answer; empty if it may hold one."""
    if first is None:
        return f"not localized: the two are {outcome}"
    if first.stage == "config":
        return f"not localized: at step {first.step} {_ELSEWHERE[first.stage]}"
    return ""


def is_computed(first: Divergence) -> bool:
    """Whether an operation of the step of the first divergence may hold an answer."""
    return first.stage in _STAGES_OF_OPERATIONS


def compare_modules(reference: RunRecord, candidate: RunRecord, first: Divergence) -> Localization:
    """Compare the modules of two runs that both recorded their modules at `first`, bit for bit.

    Raises `RecordError` if a trace is damaged.
    """
    step = max(1, first.step)
    if first.stage not in _STAGES_OF_MODULES:
        return Localization(step=step, note=_ELSEWHERE[first.stage])
    world_size = reference.spec.processes
    left, right = _passes(reference, world_size), _passes(candidate, world_size)
    calls = 0
    for key in sorted(left.keys() & right.keys()):
        pairs = _pairs(left[key], right[key])
        calls += len(pairs)
        place = _place(pairs, key, world_size)
        if place is not None:
            return Localization(step=step, place=place, calls=calls)
    if not calls:
        return Localization(
            step=step, note="the two have no module in common whose calls were recorded"
        )
    note = (
        f"the outputs of all {calls} common module calls are equal, forward and backward; the "
        "divergence is outside the modules"
    )
    return Localization(step=step, calls=calls, note=note)


Key = tuple[int, bool, int]  # micro-batch on its process, whether backward, rank


def _passes(record: RunRecord, world_size: int) -> dict[Key, list[Row]]:
    """The rows of each pass, in order; the keys sort in the order of the passes."""
    found: dict[Key, list[Row]] = {}
    for row in record.trace("modules").to_pylist():
        rank, number = rank_of(row["micro_batch"], world_size)
        found.setdefault((number, row["direction"] == "backward", rank), []).append(row)
    return {key: sorted(rows, key=lambda row: row["number"]) for key, rows in found.items()}


class _Pair:
    """One call of a module in both runs."""

    def __init__(self, one: Row, two: Row) -> None:
        self.one, self.two = one, two
        taken = [_by_name(row, "taken") for row in (one, two)]
        common = [(n, taken[0][n], taken[1][n]) for n in taken[0] if n in taken[1]]
        # A mask of another type may be equal in effect: it is reported and not compared.
        self.other_types = tuple(
            f"{name} ({left.kind} in the reference, {right.kind} in the candidate)"
            for name, left, right in common
            if left.kind != right.kind
        )
        same_type = [each for each in common if each[1].kind == each[2].kind]
        self.other_inputs = tuple(
            name for name, left, right in same_type if left.digest != right.digest
        )
        nothing = not (one["taken"] or two["taken"])
        self.same_in = not self.other_inputs and (bool(same_type) or nothing)
        self._given = [_by_name(row, "given") for row in (one, two)]
        self.other_outputs = tuple(
            name
            for name, left in self._given[0].items()
            if name in self._given[1] and left.differs(self._given[1][name])
        )
        self.other_out = bool(self.other_outputs)

    @property
    def differs(self) -> bool:
        """Whether the outputs differ or, for a call without outputs, the inputs.

        The backward pass of an embedding has no outputs.
        """
        gives = self.one["given"] and self.two["given"]
        return self.other_out if gives else bool(self.other_inputs)

    def figures(self) -> tuple[float, float, float | None]:
        """The norms of what differs in both runs, and the relative distance of the two."""
        if not self.other_out:
            taken = [_by_name(row, "taken") for row in (self.one, self.two)]
            one, two = ([values[name] for name in self.other_inputs] for values in taken)
        else:
            one, two = ([values[name] for name in self.other_outputs] for values in self._given)
        norms = [math.hypot(*(value.norm for value in values)) for values in (one, two)]
        pairs = list(zip(one, two, strict=True))
        if any(not left.sketch or len(left.sketch) != len(right.sketch) for left, right in pairs):
            return norms[0], norms[1], None
        distance = math.hypot(*(math.dist(left.sketch, right.sketch) for left, right in pairs))
        known = norms[0] > 0 and math.isfinite(distance) and math.isfinite(norms[0])
        return norms[0], norms[1], distance / norms[0] if known else None


@dataclass(frozen=True)
class _Value:
    """A tensor, or a plain value."""

    kind: str
    """Its type."""
    digest: int
    norm: float
    sketch: list[float]

    def differs(self, other: _Value) -> bool:
        """Whether the numbers differ; a wider type with the same numbers does not count."""
        if self.kind == other.kind:
            return self.digest != other.digest
        return not self.sketch or (self.norm, self.sketch) != (other.norm, other.sketch)


def _by_name(row: Row, which: str) -> dict[str, _Value]:
    found = {}
    sketches = row["sketches"] if which == "given" else [[]] * len(row[which])
    columns = (row[f"{which}_names"], row[which], row[f"{which}_norms"], sketches)
    for name, digest, norm, sketch in zip(*columns, strict=True):
        path, _, kind = name.rpartition(" ")
        found[path] = _Value(kind, digest, norm, sketch)
    return found


def _pairs(left: Sequence[Row], right: Sequence[Row]) -> list[_Pair]:
    """Calls that both runs made, in the order of the reference."""
    others = {(row["module"], row["call"]): row for row in right}
    keys = [(row["module"], row["call"]) for row in left]
    return [_Pair(one, others[key]) for key, one in zip(keys, left, strict=True) if key in others]


def _place(pairs: Sequence[_Pair], key: Key, world_size: int) -> ModuleDifference | None:
    """The divergence within one pass; None if there is none."""
    first = next((pair for pair in pairs if pair.differs), None)
    if first is None:
        return None
    # Or a module that contains it: its own code between the calls of its inner modules.
    origin = next(
        (
            pair
            for pair in pairs
            if pair.same_in and pair.other_out and _holds(pair.one["module"], first.one["module"])
        ),
        None,
    )
    root = next((pair for pair in pairs if not pair.one["module"]), first)
    if origin is None:  # the difference came from outside, or from code without module outputs
        origin = root if root.other_inputs else first
    one, two = origin.one, origin.two
    reference, candidate, distance = origin.figures()
    place = pairs.index(origin)
    number, backward, rank = key
    return ModuleDifference(
        micro_batch=number,
        rank=rank if world_size > 1 else None,
        direction="backward" if backward else "forward",
        module=one["module"],
        module_class=(one["kind"], two["kind"]),
        inputs_equal=origin.same_in,
        other_inputs=origin.other_inputs,
        other_types=origin.other_types,
        weights_equal=one["parameters"] == two["parameters"],
        generators_equal=one["rng"] == two["rng"],
        training=(one["training"], two["training"]),
        reference=reference,
        candidate=candidate,
        distance=distance,
        first_seen=first.one["module"] if first is not origin and origin.same_in else None,
        differing_after=sum(pair.differs for pair in pairs[place + 1 :]),
    )


def _holds(module: str, other: str) -> bool:
    """Whether `other` is `module` or within it."""
    return module in ("", other) or other.startswith(f"{module}.")
