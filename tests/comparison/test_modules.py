"""Out of what modules took and gave, the one is named in which two runs part."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.modules import compare_modules, why_not_localized
from harness.results.divergence import STAGES, Divergence
from harness.results.localization import Localization, ModuleDifference
from tests.support.records import Row, draft, fake_digest

# The calls of a model of two layers in the order in which they end: module, what it is.
MODULES = (
    ("layer.0.dense", "Linear"),
    ("layer.0.norm", "LayerNorm"),
    ("layer.0", "Layer"),
    ("layer.1.dense", "Linear"),
    ("layer.1", "Layer"),
    ("", "Model"),
)


def rows(micro_batches: int = 1) -> list[Row]:
    """A step in which every module takes and gives something of its own."""
    found = []
    for micro_batch in range(1, micro_batches + 1):
        calls = [("forward", *each) for each in MODULES]
        calls += [("backward", *each) for each in reversed(MODULES)]
        for number, (direction, module, kind) in enumerate(calls):
            place = (micro_batch, direction, module)
            found.append(
                {
                    "step": 3,
                    "micro_batch": micro_batch,
                    "number": number,
                    "direction": direction,
                    "module": module,
                    "kind": kind,
                    "call": 1,
                    "training": True,
                    "rng": fake_digest("rng", *place),
                    "parameters": fake_digest("parameters", module),
                    "taken_names": ["input float32"],
                    "taken": [fake_digest("taken", *place)],
                    "taken_norms": [2.0],
                    "given_names": [" float32"],
                    "given": [fake_digest("given", *place)],
                    "given_norms": [5.0],
                    "sketches": [[3.0, 4.0]],
                }
            )
    return found


def call(of: Iterable[Row], module: str, direction: str = "forward", micro_batch: int = 1) -> Row:
    """The row of that call."""
    keys = ("module", "direction", "micro_batch")
    wanted = (module, direction, micro_batch)
    return next(row for row in of if tuple(row[key] for key in keys) == wanted)


def found(
    folder: Path, reference: list[Row], candidate: list[Row], world_size: int = 1
) -> Localization:
    """What is said of two such steps."""
    sides = []
    for name, its in (("reference", reference), ("candidate", candidate)):
        made = draft()
        made.rows["modules"] = its
        case = made.header["spec"].case.model_copy(update={"world_size": world_size})
        made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
        sides.append(made.write(folder / name))
    return compare_modules(sides[0], sides[1], 3)


def place_of(folder: Path, candidate: list[Row], **more: Any) -> ModuleDifference:
    """Where those rows part from the untouched ones."""
    place = found(folder, rows(), candidate, **more).place
    assert place is not None
    return place


def give(row: Row, size: float = 6.0) -> None:
    """Have a call give something else."""
    row["given"], row["given_norms"], row["sketches"] = [1], [size], [[3.0, 4.5]]


def take(row: Row) -> None:
    """Have a call take something else."""
    row["taken"], row["taken_norms"] = [1], [2.5]


def test_equal_modules_part_nowhere(tmp_path: Path) -> None:
    """Control: where all that is given is equal there is no place, and it is said of how many."""
    answer = found(tmp_path, rows(), rows())
    assert (None, 12) == (answer.place, answer.calls)
    assert "no module differs in what it gives, forward or backward, in 12 calls" in answer.note


def test_the_module_that_takes_the_same_and_gives_another_is_named(tmp_path: Path) -> None:
    """With the norms on both sides, how far they are apart, and how many calls follow it."""
    other = rows()
    give(call(other, "layer.0.norm"))
    for name in ("layer.0", "layer.1.dense", "layer.1", ""):
        give(call(other, name))
    for name in ("layer.1.dense", "layer.1"):
        take(call(other, name))
    place = place_of(tmp_path, other)
    assert ("forward", "layer.0.norm", ("LayerNorm", "LayerNorm")) == (
        place.direction,
        place.module,
        place.module_class,
    )
    assert (5.0, 6.0, 0.1, 4) == (
        place.reference,
        place.candidate,
        place.distance,
        place.differing_after,
    )
    assert (True, True, True, None) == (
        place.inputs_equal,
        place.weights_equal,
        place.generators_equal,
        place.first_seen,
    )


def test_what_is_computed_between_modules_lies_in_the_one_that_holds_them(tmp_path: Path) -> None:
    """A module whose input is another already is where it is first seen, not where it arises."""
    other = rows()
    take(call(other, "layer.0.norm"))
    for name in ("layer.0.norm", "layer.0", ""):
        give(call(other, name))
    place = place_of(tmp_path, other)
    assert ("layer.0", True, "layer.0.norm") == (
        place.module,
        place.inputs_equal,
        place.first_seen,
    )


def test_what_comes_from_outside_is_said_to(tmp_path: Path) -> None:
    """Where the model itself takes something else, no module is to blame."""
    other = rows()
    for name in ("layer.0.dense", ""):
        take(call(other, name))
        give(call(other, name))
    take(call(other, "layer.0"))
    place = place_of(tmp_path, other)
    assert ("", False, ("input",)) == (place.module, place.inputs_equal, place.other_inputs)


def test_the_forward_pass_goes_before_the_backward_pass(tmp_path: Path) -> None:
    """And an earlier micro-batch before a later one."""
    plain, other = rows(2), rows(2)
    give(call(other, "layer.1.dense", "backward", 1))
    give(call(other, "layer.0.dense", "forward", 2))
    place = found(tmp_path, plain, other).place
    assert place is not None
    assert (1, "backward", "layer.1.dense") == (place.micro_batch, place.direction, place.module)


def test_the_process_is_named(tmp_path: Path) -> None:
    """Of two processes, micro-batch 2 of a record is the first one of the second."""
    plain, other = rows(2), rows(2)
    give(call(other, "layer.1.dense", "forward", 2))
    place = found(tmp_path, plain, other, world_size=2).place
    assert place is not None
    assert (1, 1, "layer.1.dense") == (place.micro_batch, place.rank, place.module)


@pytest.mark.parametrize(
    ("column", "value", "field", "expected"),
    [
        ("parameters", 1, "weights_equal", False),
        ("rng", 1, "generators_equal", False),
        ("training", False, "training", (True, False)),
        ("kind", "Faster", "module_class", ("LayerNorm", "Faster")),
    ],
)
def test_what_else_is_other_there_is_told(
    column: str, value: object, field: str, expected: object, tmp_path: Path
) -> None:
    """Weights, generators, mode and class of the module that departs."""
    other = rows()
    row = call(other, "layer.0.norm")
    give(row)
    row[column] = value
    place = place_of(tmp_path, other)
    assert ("layer.0.norm", expected) == (place.module, getattr(place, field))


def test_an_input_of_another_type_is_told_of_and_not_judged_by(tmp_path: Path) -> None:
    """A mask of truth values may mean what one of numbers means."""
    sides = rows(), rows()
    for side, kind in zip(sides, ("bool", "float32"), strict=True):
        row = call(side, "layer.0.dense")
        row["taken_names"] = ["input float32", f"mask {kind}"]
        row["taken"], row["taken_norms"] = [7, fake_digest(kind)], [2.0, 0.0]
    give(call(sides[1], "layer.0.dense"))
    place = found(tmp_path, *sides).place
    assert place is not None
    assert ("layer.0.dense", True, ("mask bool against float32",)) == (
        place.module,
        place.inputs_equal,
        place.other_types,
    )


def test_a_wider_type_of_the_same_numbers_is_no_difference(tmp_path: Path) -> None:
    """Accelerate hands out as float32 what autocast left as bfloat16; other numbers do differ."""
    other = rows()
    row = call(other, "")
    row["given_names"], row["given"] = [" bfloat16"], [1]
    assert found(tmp_path / "same", rows(), other).place is None
    row["sketches"] = [[3.0, 4.5]]
    assert found(tmp_path / "other", rows(), other).place is not None


def test_an_embedding_gives_no_gradient_and_is_judged_by_what_it_takes(tmp_path: Path) -> None:
    """It is named where no module before it departs."""
    plain, other = rows(), rows()
    for side in (plain, other):
        row = call(side, "layer.0.dense", "backward")
        row["given"], row["given_names"], row["given_norms"], row["sketches"] = [], [], [], []
    take(call(other, "layer.0.dense", "backward"))
    place = found(tmp_path, plain, other).place
    assert place is not None
    assert ("backward", "layer.0.dense", False) == (
        place.direction,
        place.module,
        place.inputs_equal,
    )


def test_models_without_a_common_module_say_nothing(tmp_path: Path) -> None:
    """That is said, and is no agreement."""
    other = [{**row, "module": f"other.{row['module']}"} for row in rows()]
    answer = found(tmp_path, rows(), other)
    assert (None, 0) == (answer.place, answer.calls)
    assert "no module in common" in answer.note


@pytest.mark.parametrize("stage", STAGES)
def test_modules_can_tell_of_some_stages_only(stage: str) -> None:
    """Of the others it is said in a line why not."""
    why = why_not_localized(Divergence(step=3, stage=stage), "different")
    assert (stage in ("rng", "loss", "gradients", "grad_norm")) == (why == "")
    assert why == "" or why.startswith("not localized: at step 3 ")


def test_an_identical_pair_has_nothing_to_dig() -> None:
    """It is said, so that silence is never taken for an answer."""
    assert "not localized: the two are identical" == why_not_localized(None, "identical")
