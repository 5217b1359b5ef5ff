"""A program whose parameters belong to no module shows less of itself, and is not accused of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.results.comparison import Comparison
from harness.results.header import OUTSIDE_OF_MODULES, Observation
from tests.support.evidence import evident
from tests.support.records import STEPS, TENSORS, Draft, command_draft, compare_drafts

FROZEN = "base.weight"


def outside(made: Draft) -> Draft:
    """The draft of a run of which modules own some parameters only."""
    made.header["observed"] = {OUTSIDE_OF_MODULES: (Observation(step=1),)}
    return made


def with_frozen(made: Draft, listed: bool = True) -> Draft:
    """The draft with one more tensor, which is not trained."""
    names = (FROZEN, *TENSORS)
    made.header["parameter_names"] = names
    made.header["settings"] = {"weights.frozen": [FROZEN] if listed else []}
    rows = made.rows["tensors"]
    made.rows["tensors"] = [
        each
        for step in range(STEPS + 1)
        for each in (
            {**next(row for row in rows if row["step"] == step), "tensor": FROZEN, "weight": 7},
            *(row for row in rows if row["step"] == step),
        )
    ]
    return made


def place(found: Comparison) -> tuple[int, str] | None:
    first = found.first_divergence
    return None if first is None else (first.step, first.stage)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_frozen_tensor_that_cannot_be_seen_is_a_doubt(swapped: bool, tmp_path: Path) -> None:
    """In either run; the other values are compared."""
    pair = [with_frozen(command_draft()), outside(command_draft())]
    found = compare_drafts(tmp_path, *(pair[::-1] if swapped else pair))
    assert "inconclusive" == found.outcome, found.first_divergence
    assert any("1 frozen tensor" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (with_frozen(command_draft()), command_draft()),
        (with_frozen(command_draft(), listed=False), outside(command_draft())),
    ],
    ids=["modules own all", "trained"],
)
def test_a_tensor_that_the_other_lacks_is_a_difference(
    reference: Draft, candidate: Draft, tmp_path: Path
) -> None:
    """The controls: of a run that shows all its tensors, and of a tensor that is trained."""
    found = compare_drafts(tmp_path, reference, candidate)
    assert (0, "initial_weights") == place(found)
    assert () == found.causes


@pytest.mark.parametrize("column", ["rng", "batch_content", "rows"])
def test_passes_that_were_seen_from_elsewhere_are_not_compared(column: str, tmp_path: Path) -> None:
    """Their first module may receive something else, after numbers were drawn."""
    for both, number in (([True, False], 1), ([False, False], 2), ([True, True], 3)):
        made = [command_draft(), command_draft()]
        row = made[1].micro_batch(3)
        row[column] = [9] * 4 if column == "rows" else row[column] + 1
        drafts = [outside(one) if wanted else one for one, wanted in zip(made, both, strict=True)]
        found = compare_drafts(tmp_path / str(number), *drafts)
        stage = "data_order" if column == "rows" else column
        expected = ("inconclusive", None) if number == 1 else ("different", (3, stage))
        assert expected == (found.outcome, place(found)), (both, found.doubts)


def reordered(made: Draft, names: Sequence[str]) -> Draft:
    """The draft of a model that holds its tensors in another order."""
    made.header["parameter_names"] = tuple(names)
    made.rows["tensors"].sort(key=lambda row: (row["step"], names.index(row["tensor"])))
    for row in made.rows["steps"]:
        for column in ("gradients", "weights", "optimizer_state"):
            row[column] += 1  # as the digest of all of them
    return made


def test_the_norm_of_equal_gradients_in_another_order_is_no_difference(tmp_path: Path) -> None:
    """It is a sum, which rounds otherwise. The controls: one gradient, and the same order."""
    made = reordered(command_draft(), TENSORS[::-1])
    made.step(2)["grad_norm"] *= 1.0000001
    found = compare_drafts(tmp_path / "order", command_draft(), made)
    assert "identical" == found.outcome, (found.first_divergence, found.doubts)

    made.tensor(2, TENSORS[1])["gradient"] += 1
    found = compare_drafts(tmp_path / "gradient", command_draft(), made)
    assert (2, "gradients") == place(found)

    made = command_draft()
    made.step(2)["grad_norm"] *= 1.0000001
    assert (2, "grad_norm") == place(compare_drafts(tmp_path / "same", command_draft(), made))


@pytest.mark.parametrize("draws", [True, False])
def test_a_run_without_dropout_modules_may_drop_out_by_a_function(
    draws: bool, tmp_path: Path
) -> None:
    """That it has no dropout is said only if its passes draw no random numbers."""
    settings: list[dict[str, Any]] = [{"model.dropout": {"0.1": 3}}, {"model.dropout": {}}]
    reference, candidate = (evident(**each) for each in settings)
    for made in (reference, candidate):
        for row in made.rows["circumstances"]:
            row["draws"] = draws
    candidate.micro_batch(1)["loss"] += 1
    found = compare_drafts(tmp_path, reference, candidate)
    assert (not draws) == ("dropout" in [fact.id for fact in found.facts])
