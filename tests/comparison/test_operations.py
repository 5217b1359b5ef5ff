"""The operation in which two runs diverge is found from the values that each of them made.

A step is computed symbolically: the digest of an output follows from the operation, its arguments
and its inputs. So a planted change reaches every later value, as in a real step.

Longer than 300 lines: every kind of answer needs the same symbolic step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.operations import OperationAnswer, compare_operations
from harness.results.divergence import Divergence
from harness.results.localization import OperationDifference, OperationKind
from tests.support.records import Row, draft, fake_digest

STEP = 3
WEIGHT = "classifier.weight"


class Step:
    """One step of one process, operation by operation."""

    def __init__(self, rank: int = 0) -> None:
        self.rows: list[Row] = []
        self.rank, self.phase = rank, "forward"
        self.ends = {"gradient": 0, "weight": 0}

    def op(self, name: str, *reads: int, **more: Any) -> int:
        """Add an operation with one output, which is returned."""
        return self.many(name, [reads], **more)[0]

    def many(
        self,
        name: str,
        reads: Sequence[Sequence[int]],
        place: str = "loop.py:1",
        arguments: Sequence[str] = (),
        salt: object = None,
        makes: Sequence[int] = (),
        size: int = 12,
        norm: float = 2.0,
        **columns: Any,
    ) -> list[int]:
        """Add an operation with an output for each group of inputs.

        `makes`: the outputs, where they do not follow from the inputs. `salt`: changes them.
        """
        base = name.split(".")[1].removeprefix("_foreach_").rstrip("_")
        made = list(makes) or [fake_digest(base, *arguments, *group, salt) for group in reads]
        read = [digest for group in reads for digest in group]
        row = {
            "step": STEP,
            "rank": self.rank,
            "number": len(self.rows) + 1,
            "phase": self.phase,
            "operation": name,
            "module": "",
            "random": False,
            "inputs": read,
            "input_sizes": [12] * len(read),
            "outputs": made,
            "output_sizes": [size] * len(made),
            "output_norms": [norm] * len(made),
            "arguments": list(arguments),
            "place": place,
            "source": f"call of {name}",
            "library": "",
            "forward_place": "",
            "forward_source": "",
        }
        self.rows.append({**row, **columns})
        return made


def step(rank: int = 0, **changed: Any) -> Step:
    """A step with dropout, a loss, a backward pass, a clipped gradient and an update."""
    it = Step(rank)
    it.op("aten.zeros", makes=[fake_digest("zeros")], norm=0.0)
    batch, weight = changed.get("batch", fake_digest("batch", rank)), fake_digest("weight")
    hidden = it.op("aten.mm", batch, weight, place="model.py:3", module="head", norm=4.0)
    if "draws" in changed:
        it.op("aten.rand", place="loop.py:9", random=True, salt=changed["draws"])
    mask = it.op("aten.bernoulli_.float", place="model.py:4", random=True, salt=changed.get("mask"))
    hidden = it.op("aten.mul.Tensor", hidden, mask, place="model.py:4")
    active = changed.get("activation", "aten.relu")
    hidden = it.op(active, hidden, place="model.py:5", salt=changed.get("kernel"))
    if "scaled" in changed:
        hidden = it.op("aten.mul.Scalar", hidden, place="model.py:8", arguments=["other=1.001"])
    labels, others = it.op("aten.ge", batch), it.op("aten.lt", batch, place="loop.py:6")
    target = others if changed.get("other_labels") else labels
    loss = it.op("aten.nll_loss", hidden, target, place="loop.py:7", size=1)
    it.phase = "backward"
    gradient = it.op(
        "aten.mm",
        loss,
        hidden,
        forward_place="model.py:3",
        place="loop.py:10",
        salt=changed.get("backward"),
        norm=changed.get("norm", 2.0),
    )
    it.ends["gradient"] = gradient
    it.phase = "update"
    if changed.get("centred"):
        mean = it.op("aten.mean", gradient, place="loop.py:11", size=1)
        gradient = it.op("aten.sub_.Tensor", gradient, mean, place="loop.py:11")
    if changed.get("negated"):
        gradient = it.op("aten.neg_", gradient, place="loop.py:12")
    if changed.get("zeroed"):
        gradient = it.op("aten.zero_", makes=[fake_digest("zeros")], place="loop.py:13", norm=0.0)
    clip = changed.get("clip", 1.0)
    if changed.get("swapped"):
        gradient = it.op("aten.sign", gradient, place="loop.py:16")
    gradient = it.op("aten.mul.Scalar", gradient, arguments=[f"other={clip}"], place="loop.py:14")
    if not changed.get("swapped"):
        gradient = it.op("aten.sign", gradient, place="loop.py:16")
    new = it.op("aten.add_.Tensor", weight, gradient, place="loop.py:15", arguments=["alpha=-0.5"])
    it.ends["weight"] = new
    return it


def answer(
    folder: Path, reference: Sequence[Step], candidate: Sequence[Step], stage: str = "gradients"
) -> OperationAnswer:
    """The comparison of two steps, each a list of its processes."""
    records = []
    for name, its in (("reference", reference), ("candidate", candidate)):
        made = draft()
        made.rows["operations"] = [row for one in its for row in one.rows]
        if its:
            made.tensor(STEP, WEIGHT).update(its[0].ends)
        case = made.header["spec"].case.model_copy(update={"world_size": max(1, len(its))})
        made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
        records.append(made.write(folder / name))
    first = Divergence.model_validate({"step": STEP, "stage": stage})
    return compare_operations(records[0], records[1], first)


def difference(
    folder: Path, reference: Step, candidate: Step, stage: str = "gradients"
) -> OperationDifference:
    """The first operations that differ, which there must be."""
    found = answer(folder, [reference], [candidate], stage)
    assert found.difference is not None, found.note
    return found.difference


def places(found: OperationDifference) -> tuple[str | None, str | None]:
    """The lines of code in the reference and in the candidate."""
    one, two = found.reference, found.candidate
    return None if one is None else one.place, None if two is None else two.place


Planted = tuple[dict[str, Any], OperationKind, str | None, str | None]
PLANTED: dict[str, Planted] = {
    "clip": ({"clip": 0.5}, "arguments", "loop.py:14", "loop.py:14"),
    "labels": ({"other_labels": True}, "inputs", "loop.py:1", "loop.py:6"),
    "kernel": ({"kernel": 1}, "output", "model.py:5", "model.py:5"),
    "mask": ({"mask": 1}, "random", "model.py:4", "model.py:4"),
    "activation": ({"activation": "aten.gelu"}, "others", "model.py:5", "model.py:5"),
    "centred": ({"centred": True}, "one_side", None, "loop.py:11"),
    "swapped": ({"swapped": True}, "others", "loop.py:14", "loop.py:16"),
    "negated": ({"negated": True}, "one_side", None, "loop.py:12"),
    "scaled": ({"scaled": True}, "one_side", None, "model.py:8"),
    "zeroed": ({"zeroed": True}, "inputs", "model.py:3", "loop.py:13"),
    "batch": ({"batch": fake_digest("other rows")}, "enters", "model.py:3", "model.py:3"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_operation_of_a_planted_change_is_found(
    name: str, swapped: bool, tmp_path: Path
) -> None:
    """With its kind, and its line of code in the run that has it, whichever run that is."""
    changed, kind, left, right = PLANTED[name]
    pair = [step(), step(**changed)]
    lines = [left, right]
    if swapped:
        pair.reverse()
        lines.reverse()
    found = difference(tmp_path, pair[0], pair[1])
    assert (kind, *lines) == (found.kind, *places(found))


@pytest.mark.parametrize(
    ("name", "line", "reads"),
    [
        ("negated", "loop.py:14", "all"),
        ("centred", "loop.py:14", "all"),
        ("scaled", "loop.py:7", "all"),
    ],
)
def test_the_other_run_shows_what_it_does_with_the_same_values(
    name: str, line: str, reads: str, tmp_path: Path
) -> None:
    """Where an operation stands in one run alone: the next use of its inputs, in either order."""
    for number, pair in enumerate(([step(), step(**PLANTED[name][0])],) * 2):
        one, two = pair if number else pair[::-1]
        found = difference(tmp_path / str(number), one, two)
        assert found.counterpart is not None
        assert (line, reads) == (found.counterpart.place, found.counterpart_reads)


def test_of_values_that_the_other_run_never_uses_the_last_one_made_is_shown(tmp_path: Path) -> None:
    """A gradient that one run adds to the next, and the other drops: with the backward call."""
    runs = []
    for adds in (True, False):
        it = Step()
        loss = it.op("aten.nll_loss", fake_digest("batch"), place="loop.py:7")
        it.phase = "backward"
        seen = {"forward_place": "model.py:3", "place": "loop.py:10"}
        one, two = (it.op("aten.mm", loss, salt=salt, **seen) for salt in (1, 2))
        it.ends["gradient"] = (
            it.op("aten.add_.Tensor", one, two, place="loop.py:10") if adds else two
        )
        runs.append(it)

    found = difference(tmp_path, runs[0], runs[1])

    assert found.counterpart is not None
    assert ("one_side", "none") == (found.kind, found.counterpart_reads)
    assert "loop.py:10" == found.counterpart.place


def test_equal_steps_have_no_operation_that_differs(tmp_path: Path) -> None:
    """Control: the note states it, and the operations are counted."""
    found = answer(tmp_path, [step()], [step()])
    count = len(step().rows)
    assert (None, (count, count)) == (found.difference, found.counts)
    assert "no operation of this step made what differs" in found.note


def test_values_of_arguments_are_those_of_each_run(tmp_path: Path) -> None:
    """The reference's first, then the candidate's; `none` if a run has no such argument."""
    other = step(clip=0.5)
    other.rows[-3]["arguments"].append("extra=1")
    found = difference(tmp_path, step(), other)
    assert (("other", "1.0", "0.5"), ("extra", "none", "1")) == found.arguments


def test_more_draws_are_counted_by_line(tmp_path: Path) -> None:
    """If a generator differs first, or if a draw differs since another draw came before."""
    for stage, changed in (("rng", {"draws": 1}), ("loss", {"draws": 1, "mask": 1})):
        found = difference(tmp_path / stage, step(), step(**changed), stage)
        drawn = [[(each.place, each.operations) for each in its] for its in found.draws]
        assert "more_draws" == found.kind
        assert [[("model.py:4", 1)], [("loop.py:9", 1), ("model.py:4", 1)]] == drawn


ROWS = fake_digest("other rows")
DRAWN: dict[str, tuple[dict[str, Any], OperationKind, str | None, str | None]] = {
    "other numbers": ({"draws": 2}, "random", "loop.py:9", "loop.py:9"),
    "no draw": ({}, "one_side", "loop.py:9", None),
    "equal": ({"draws": 1}, "random", None, None),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_draw_that_differs_is_named_where_what_differs_comes_out_of_python(
    name: str, tmp_path: Path
) -> None:
    """An order of rows is drawn, and no operation leads back to that."""
    changed, kind, left, right = DRAWN[name]
    found = answer(tmp_path, [step(draws=1)], [step(**changed, batch=ROWS)])
    assert found.difference is not None
    assert "enters" == found.difference.kind
    if left is None and right is None:
        assert found.draw is None
    else:
        assert found.draw is not None
        assert (kind, left, right) == (found.draw.kind, *places(found.draw))
    # Another difference is not one of draws.
    assert answer(tmp_path / "clip", [step(draws=1)], [step(draws=2, clip=0.5)]).draw is None


def test_the_seeds_of_draws_are_their_arguments(tmp_path: Path) -> None:
    """And another operation that draws is one of two."""
    pair = [step(draws=1), step(draws=2, batch=ROWS)]
    for seed, one in enumerate(pair):
        row = next(row for row in one.rows if row["operation"] == "aten.rand")
        row["arguments"] = [f"generator.seed={seed}"]
    found = answer(tmp_path / "a", [pair[0]], [pair[1]]).draw
    assert found is not None
    assert ("arguments", (("generator.seed", "0", "1"),)) == (found.kind, found.arguments)
    row["operation"] = "aten.randperm"
    found = answer(tmp_path / "b", [pair[0]], [pair[1]]).draw
    assert found is not None
    assert "others" == found.kind


def test_draws_of_one_kind_are_shown_together(tmp_path: Path) -> None:
    """Also if another draw, which one run has alone, comes first."""
    pair = [step(draws=1), step(draws=2, batch=ROWS)]
    more = Step()
    more.op("aten.random_", place="loop.py:2", random=True, salt=7)
    pair[1].rows[:0] = more.rows
    for number, row in enumerate(pair[1].rows, start=1):
        row["number"] = number
    found = answer(tmp_path, [pair[0]], [pair[1]]).draw
    assert found is not None
    assert ("random", "loop.py:9", "loop.py:9") == (found.kind, *places(found))


def test_equal_draws_are_not_named(tmp_path: Path) -> None:
    """The generators differed before the step, in which both draw alike."""
    found = answer(tmp_path, [step()], [step(mask=1)], "rng")
    assert found.difference is None
    assert "the generators differed before it" in found.note


def test_the_line_of_a_backward_operation_is_that_of_its_forward_call(tmp_path: Path) -> None:
    """And the size of its output is reported, if it is a number."""
    found = difference(tmp_path, step(), step(backward=1, norm=3.0))
    assert ("output", "model.py:3", "model.py:3") == (found.kind, *places(found))
    assert found.reference is not None
    assert found.candidate is not None
    assert ("backward", 2.0, 3.0) == (
        found.candidate.phase,
        found.reference.norm,
        found.candidate.norm,
    )
    again = difference(tmp_path / "nan", step(), step(backward=1, norm=float("nan")))
    assert again.candidate is not None
    assert again.candidate.norm is None


def fused(clip: float = 1.0) -> Step:
    """Two tensors that are scaled by one operation, whose shift has been fused into it."""
    it = Step()
    it.phase = "update"
    one, two = it.many("aten._foreach_mul.Scalar", [[1], [2]], arguments=["by=2"], place="f.py:1")
    shifted = [fake_digest("shift", one), fake_digest("shift", two)]
    it.many("aten.fused", [[one, two]], makes=shifted, place="f.py:2")
    it.ends["weight"] = it.op("aten.mul.Scalar", *shifted, arguments=[f"c={clip}"], place="f.py:3")
    return it


def unfused() -> Step:
    """The same values from one operation for each tensor, in another order, and with more."""
    it = Step()
    it.phase = "update"
    two = it.op("aten.mul.Scalar", 2, arguments=["by=2"], place="u.py:1")
    it.op("aten.exp", two, place="u.py:2")  # a value that leads to nothing
    one = it.op("aten.mul.Scalar", 1, arguments=["by=2"], place="u.py:3")
    shifted = [
        it.op("aten.add", value, makes=[fake_digest("shift", value)], place="u.py:4")
        for value in (one, two)
    ]
    it.ends["weight"] = it.op("aten.mul.Scalar", *shifted, arguments=["c=1.0"], place="u.py:5")
    return it


def test_other_operations_that_come_to_the_same_values_are_not_named(tmp_path: Path) -> None:
    """Another order, fused operations and operations that lead to nothing are no difference."""
    assert answer(tmp_path / "equal", [unfused()], [fused()], "weights").difference is None
    found = difference(tmp_path / "clip", unfused(), fused(0.5), "weights")
    assert ("arguments", "u.py:5", "f.py:3") == (found.kind, *places(found))
    assert (("c", "1.0", "0.5"),) == found.arguments


@pytest.mark.parametrize(("size", "norm"), [(1, 2.0), (12, 0.0)])
def test_a_value_that_is_equal_by_chance_is_not_common(
    size: int, norm: float, tmp_path: Path
) -> None:
    """A single number, or zeros, which another operation made elsewhere in the other run."""
    chance = fake_digest("chance")

    def one(name: str, elsewhere: bool) -> Step:
        it = Step()
        if elsewhere:
            it.op("aten.sum", 5, makes=[chance], size=size, norm=norm, place="a.py:1")
        value = chance if name == "aten.amax" else fake_digest(name)
        made = it.op(name, 7, makes=[value], size=size, norm=norm, place="a.py:2")
        it.ends["gradient"] = it.op("aten.mul.Tensor", 8, made, place="a.py:3")
        return it

    found = difference(tmp_path, one("aten.mean", True), one("aten.amax", False))
    assert ("others", "a.py:2", "a.py:2") == (found.kind, *places(found))


def test_a_large_equal_value_is_common_whoever_made_it(tmp_path: Path) -> None:
    """Control of the test above: of many numbers, equality is no chance."""
    pair = []
    for name in ("aten.sum", "aten.amax"):
        it = Step()
        made = it.op(name, 7, makes=[fake_digest("equal")], place="a.py:2")
        it.ends["gradient"] = it.op("aten.mul.Tensor", 8, made, salt=name, place="a.py:3")
        pair.append(it)
    found = difference(tmp_path, pair[0], pair[1])
    assert ("output", "a.py:3", "a.py:3") == (found.kind, *places(found))


def test_the_process_in_which_the_difference_begins_is_named(tmp_path: Path) -> None:
    """Of two processes the second differs; of one, no rank is named."""
    both = [step(0), step(1)]
    for it in both[1:]:
        it.ends = both[0].ends
    other = [step(0), step(1, kernel=1)]
    other[0].ends = other[1].ends
    found = answer(tmp_path, both, other).difference
    assert found is not None
    assert (1, "output", "model.py:5") == (found.rank, found.kind, places(found)[1])
    assert difference(tmp_path / "one", step(), step(kernel=1)).rank is None


def exchanged(rank: int, kernel: int, other_kernel: int) -> Step:
    """A process that sends its gradient, and continues with the sum over both processes."""
    it = Step(rank)
    hidden = it.op("aten.relu", fake_digest("batch", rank), salt=kernel, place="m.py:1")
    it.phase = "backward"
    it.op("c10d.allreduce_", hidden, makes=[fake_digest("not there yet", rank)], place="m.py:2")
    both = kernel + other_kernel
    total = it.op("aten.copy_", fake_digest("sum", both), salt=both, place="m.py:3")
    it.ends["gradient"] = total
    return it


@pytest.mark.parametrize("rank", [0, 1])
def test_a_sum_over_processes_is_followed_to_the_process_that_differs(
    rank: int, tmp_path: Path
) -> None:
    """Though the sum has no known maker. What a process only receives begins elsewhere."""
    plain = [exchanged(0, 0, 0), exchanged(1, 0, 0)]
    kernels = [1 - rank, rank]
    other = [exchanged(each, kernels[each], kernels[1 - each]) for each in (0, 1)]
    found = answer(tmp_path, plain, other).difference
    assert found is not None
    assert (rank, "output", "m.py:1", "m.py:1") == (found.rank, found.kind, *places(found))


@pytest.mark.parametrize("sides", [(0, 0), (0, 1), (1, 0)])
def test_a_run_without_operations_gives_no_answer(sides: tuple[int, int], tmp_path: Path) -> None:
    """The note states it; the other run's operations are no difference."""
    one, two = ([step()][:count] for count in sides)
    found = answer(tmp_path, one, two)
    assert (None, "no operation was recorded in this step") == (found.difference, found.note)


@pytest.mark.parametrize("stage", ["loss", "gradients", "optimizer_state", "weights", "rng"])
def test_rows_that_contradict_each_other_end_without_an_error(stage: str, tmp_path: Path) -> None:
    """Values that make themselves, makers after their readers, and a thousand equal operations."""
    it = step()
    gradient, weight = it.ends.values()
    it.op("aten.mul.Tensor", weight, gradient, makes=[gradient])
    it.op("aten.mul.Tensor", gradient, weight, makes=[weight])
    it.op("aten.add_.Tensor", 4, makes=[4])
    it.many("aten._foreach_mul_", [[]], makes=[1] * 1000)
    for row in it.rows[:3]:
        row["number"] = -1
    for _ in range(1000):
        it.op("aten.mul.Tensor", 4, weight, makes=[4])
    for name, other in (("sound", step(kernel=1)), ("cycle", it), ("nothing", Step())):
        found = answer(tmp_path / name, [it], [other], stage)
        assert (found.difference is None) == bool(found.note)
