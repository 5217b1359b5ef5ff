"""The module in which two runs diverge is named from its recorded inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.modules import compare_modules, is_computed, why_not_localized
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
    """A step in which every module has its own inputs and outputs."""
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
    """The comparison of two such steps."""
    records = []
    for name, its in (("reference", reference), ("candidate", candidate)):
        made = draft()
        made.rows["modules"] = its
        case = made.header["spec"].case.model_copy(update={"world_size": world_size})
        made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
        records.append(made.write(folder / name))
    return compare_modules(records[0], records[1], Divergence(step=3, stage="gradients"))


def place_of(folder: Path, candidate: list[Row], **more: Any) -> ModuleDifference:
    """The divergence of these rows from the untouched ones."""
    place = found(folder, rows(), candidate, **more).place
    assert place is not None
    return place


def give(row: Row, size: float = 6.0) -> None:
    """Change the outputs of a call."""
    row["given"], row["given_norms"], row["sketches"] = [1], [size], [[3.0, 4.5]]


def take(row: Row) -> None:
    """Change the inputs of a call."""
    row["taken"], row["taken_norms"] = [1], [2.5]


def test_equal_modules_have_no_divergence(tmp_path: Path) -> None:
    """Control: without a different output there is no place; the note counts the calls."""
    answer = found(tmp_path, rows(), rows())
    assert (None, 12) == (answer.place, answer.calls)
    assert (
        "the outputs of all 12 common module calls are equal, forward and backward" in answer.note
    )


def test_the_module_with_equal_inputs_and_different_outputs_is_named(tmp_path: Path) -> None:
    """With both norms, their distance, and the number of differing calls after it."""
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


def test_code_between_modules_belongs_to_the_module_that_contains_them(tmp_path: Path) -> None:
    """A module with a different input is where the divergence is first seen, not its origin."""
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


def test_a_difference_from_outside_is_reported(tmp_path: Path) -> None:
    """If the inputs of the model differ, no module is the origin."""
    other = rows()
    for name in ("layer.0.dense", ""):
        take(call(other, name))
        give(call(other, name))
    take(call(other, "layer.0"))
    place = place_of(tmp_path, other)
    assert ("", False, ("input",)) == (place.module, place.inputs_equal, place.other_inputs)


def test_the_forward_pass_precedes_the_backward_pass(tmp_path: Path) -> None:
    """And an earlier micro-batch precedes a later one."""
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
def test_other_differences_of_the_module_are_reported(
    column: str, value: object, field: str, expected: object, tmp_path: Path
) -> None:
    """Weights, generators, mode and class of the module that diverges."""
    other = rows()
    row = call(other, "layer.0.norm")
    give(row)
    row[column] = value
    place = place_of(tmp_path, other)
    assert ("layer.0.norm", expected) == (place.module, getattr(place, field))


def test_an_input_of_another_type_is_reported_and_not_compared(tmp_path: Path) -> None:
    """A boolean mask may be equal in effect to a mask of numbers."""
    both = rows(), rows()
    for calls, kind in zip(both, ("bool", "float32"), strict=True):
        row = call(calls, "layer.0.dense")
        row["taken_names"] = ["input float32", f"mask {kind}"]
        row["taken"], row["taken_norms"] = [7, fake_digest(kind)], [2.0, 0.0]
    give(call(both[1], "layer.0.dense"))
    place = found(tmp_path, *both).place
    assert place is not None
    assert ("layer.0.dense", True, ("mask (bool in the reference, float32 in the candidate)",)) == (
        place.module,
        place.inputs_equal,
        place.other_types,
    )


def test_a_wider_type_of_the_same_numbers_is_no_difference(tmp_path: Path) -> None:
    """Accelerate returns bfloat16 outputs of autocast as float32; different numbers do differ."""
    other = rows()
    row = call(other, "")
    row["given_names"], row["given"] = [" bfloat16"], [1]
    assert found(tmp_path / "same", rows(), other).place is None
    row["sketches"] = [[3.0, 4.5]]
    assert found(tmp_path / "other", rows(), other).place is not None


def test_an_embedding_without_output_gradient_is_compared_by_its_inputs(tmp_path: Path) -> None:
    """It is named if no module before it diverges."""
    plain, other = rows(), rows()
    for calls in (plain, other):
        row = call(calls, "layer.0.dense", "backward")
        row["given"], row["given_names"], row["given_norms"], row["sketches"] = [], [], [], []
    take(call(other, "layer.0.dense", "backward"))
    place = found(tmp_path, plain, other).place
    assert place is not None
    assert ("backward", "layer.0.dense", False) == (
        place.direction,
        place.module,
        place.inputs_equal,
    )


def test_models_without_a_common_module_have_no_divergence(tmp_path: Path) -> None:
    """The note states it; it is no agreement."""
    other = [{**row, "module": f"other.{row['module']}"} for row in rows()]
    answer = found(tmp_path, rows(), other)
    assert (None, 0) == (answer.place, answer.calls)
    assert "no module in common" in answer.note


@pytest.mark.parametrize("stage", STAGES)
def test_only_some_stages_are_localized(stage: Any, tmp_path: Path) -> None:
    """Settings need no replay; fewer stages are compared by operations, and fewer by modules."""
    first = Divergence(step=3, stage=stage)
    why = why_not_localized(first, "different")
    assert (stage == "config") == why.startswith("not localized: at step 3 ")
    assert (stage == "config") == bool(why)
    assert (stage not in ("config", "step_count", "evaluation")) == is_computed(first)
    record = draft().write(tmp_path / "run")
    in_modules = stage in ("rng", "loss", "gradients", "grad_norm")
    note = compare_modules(record, record, first).note
    assert in_modules == ("no module in common" in note)


def test_an_identical_pair_is_not_localized() -> None:
    """The reason is stated, so that no answer is taken for agreement."""
    assert "not localized: the two are identical" == why_not_localized(None, "identical")
