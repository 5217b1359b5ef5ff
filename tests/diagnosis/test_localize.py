"""Runs that diverge are replayed, and the first differing module is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.comparison.modules import compare_modules
from harness.diagnosis.localize import localize_pairs
from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.results.localization import Localization
from harness.results.record import RunRecord
from tests.faults.mutations import path_of
from tests.support.small_runs import comparison, small_case, train, write_pairs

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
LOOPS = ["plain", "accelerated", "trainer"]

# Step, direction and module of the divergence of each faulty loop; None if no module diverges.
FAULTS: dict[str, tuple[int, str, str] | None] = {
    "output_of_layer_1_scaled": (3, "forward", "bert.encoder.layer.1"),
    "backward_of_layer_0_scaled": (2, "backward", "bert.encoder.layer.0.intermediate.dense"),
    "forgot_train_mode": (1, "forward", "bert.embeddings.dropout"),
    "one_ulp_in_one_weight": None,
    "forgot_zero_grad": None,
    "schedule_off_by_one": None,
    "same_order_every_epoch": None,
}
# Fields of the recipe, the direction and the module of the divergence.
ARMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "eager": ({"attention": "eager"}, "forward", "bert.encoder.layer.0.attention.self"),
    "bf16": ({"precision": "bf16"}, "forward", "bert.encoder.layer.0.attention.self.query"),
    "smoothed": ({"label_smoothing": 0.1}, "backward", ""),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Localization]:
    """The localization for each faulty loop, each arm, and the plain loop again."""
    folder = tmp_path_factory.mktemp("localize")
    case = small_case(write_pairs(folder / "data")).model_copy(
        update={"arms": {name: fields for name, (fields, _, _) in ARMS.items()}}
    )
    loops = ["plain", *(path_of(name) for name in FAULTS)]
    records = train(case, loops, folder / "records")
    records |= train(case, ["plain"], folder / "records", repeat=2)
    for arm in ARMS:
        records |= train(case, ["plain"], folder / "records", arm=arm)
    return localized_against_plain(records, folder / "localized")


def localized_against_plain(records: dict[str, RunRecord], folder: Path) -> dict[str, Localization]:
    """The localization for each record against that of the plain loop, by label."""
    pairs = [comparison(records, "plain", name) for name in records if name != "plain"]

    def find(pair: Comparison) -> tuple[RunRecord, RunRecord]:
        return records["plain"], records[pair.candidate]

    found = localize_pairs(pairs, find, folder, 2, QUIET)
    return {pair.candidate: pair.localization for pair in found if pair.localization is not None}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_module_of_a_planted_fault_is_named(
    fault: str, answers: dict[str, Localization]
) -> None:
    """If the fault is in no module, no module is named."""
    place = answers[fault].place
    met = None if place is None else (answers[fault].step, place.direction, place.module)
    assert FAULTS[fault] == met


@pytest.mark.parametrize("arm", ARMS)
def test_the_module_that_another_recipe_computes_otherwise_is_named(
    arm: str, answers: dict[str, Localization]
) -> None:
    """A kernel diverges in its module; a loss, before the backward pass begins."""
    place = answers[arm].place
    assert place is not None
    assert (*ARMS[arm][1:], bool(place.module)) == (
        place.direction,
        place.module,
        place.inputs_equal,
    )


def test_the_difference_at_the_place_is_reported(answers: dict[str, Localization]) -> None:
    """The size of the planted fault, and a module's mode."""
    places = {name: answer.place for name, answer in answers.items()}
    scaled, mode = (places[name] for name in ("output_of_layer_1_scaled", "forgot_train_mode"))
    assert scaled is not None
    assert mode is not None
    assert pytest.approx(1e-4, rel=0.3) == scaled.distance
    assert pytest.approx(1.0001, abs=1e-6) == scaled.candidate / scaled.reference
    assert (True, False) == mode.training
    assert scaled.weights_equal
    assert "a change of the weights after it" in answers["one_ulp_in_one_weight"].note


def test_different_weights_of_a_module_are_reported(tmp_path: Path) -> None:
    """Without recorded weights, a changed weight shows in modules once it changes a loss."""
    case = small_case(write_pairs(tmp_path / "data"))
    loops = ["plain", path_of("one_ulp_in_one_weight")]
    records = train(case, loops, tmp_path / "records", detail="steps")
    found = localized_against_plain(records, tmp_path / "localized")["one_ulp_in_one_weight"]
    place = found.place
    assert place is not None
    assert (6, "forward") == (found.step, place.direction)
    assert "bert.embeddings.word_embeddings" == place.module
    assert not place.weights_equal


def test_what_cannot_be_localized_is_not_replayed(answers: dict[str, Localization]) -> None:
    """An identical pair, another order of the rows and another learning rate are not localized;
    gradients left over from before are in no module."""
    assert "not localized: the two are identical" == answers["plain-2"].note
    assert "different rows" in answers["same_order_every_epoch"].note
    assert "learning rate" in answers["schedule_off_by_one"].note
    assert (2, 96) == (
        answers["forgot_zero_grad"].step,
        answers["forgot_zero_grad"].calls,
    )


def test_a_different_generator_state_is_reported(tmp_path: Path) -> None:
    """Where one loop fetches ahead with a collator that draws, dropout draws another mask."""
    case = small_case(write_pairs(tmp_path / "data"), extra_padding=5)
    records = train(case, ["plain", "trainer"], tmp_path / "records")
    place = localized_against_plain(records, tmp_path / "localized")["trainer"].place
    assert place is not None
    assert ("bert.embeddings.dropout", True, False) == (
        place.module,
        place.inputs_equal,
        place.generators_equal,
    )


RECIPES: dict[str, tuple[int, dict[str, Any]]] = {
    "checkpoints": (
        1,
        {
            "gradient_accumulation_steps": 5,
            "per_device_batch_size": 6,
            "gradient_checkpointing": True,
            "eval_every": 2,
        },
    ),
    "bf16": (1, {"precision": "bf16", "attention": "eager"}),
    "processes": (2, {"gradient_accumulation_steps": 2}),
    "shared-out": (2, {"parallel": "fsdp2"}),
}


@pytest.mark.parametrize(("processes", "recipe"), RECIPES.values(), ids=RECIPES)
def test_localizing_changes_no_bit_of_a_run(
    processes: int, recipe: dict[str, Any], tmp_path: Path
) -> None:
    """Of any loop; and the loops, which are identical, have no module that differs."""
    case = small_case(write_pairs(tmp_path / "data"), **recipe)
    case = case.model_copy(update={"world_size": processes})
    loops = ["plain"] if "parallel" in recipe else LOOPS
    plain = train(case, loops, tmp_path / "plain", stop_after=3)
    again = train(case, loops, tmp_path / "localized", stop_after=3, localize_at=3)
    for name, record in plain.items():
        other = again[f"{name}-localized-3"]
        assert "stopped" == other.header.status
        for trace in ("steps", "micro_batches", "tensors", "dissent"):
            assert record.trace(trace).equals(other.trace(trace)), (name, trace)
        first = Divergence(step=3, stage="gradients")
        answer = compare_modules(again["plain-localized-3"], other, first)
        assert (None, len(other.trace("modules"))) == (answer.place, answer.calls)
