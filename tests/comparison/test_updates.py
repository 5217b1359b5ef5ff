"""One update divided into micro-batches in two ways: rows as a multiset, losses as their sum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.verdict import apply_noise
from harness.comparison.updates import Update
from harness.results.comparison import Comparison
from tests.support.noisy_records import noisy_draft, values, write_draws, write_noisy
from tests.support.records import (
    BATCH_SIZE,
    MICRO_BATCHES,
    STEPS,
    Draft,
    command_draft,
    compare_drafts,
    divided,
    draft,
)

WORDS = (
    "the two divide an update into micro-batches differently (reference 2 x 4 rows, candidate 8 "
    "rows), so whole updates are compared; their rounding, and dropout if there is any, differ by "
    "design"
)


def place(found: Comparison) -> tuple[int, int | None, str]:
    assert "different" == found.outcome, found.doubts
    first = found.first_divergence
    assert first is not None
    return first.step, first.micro_batch, first.stage


@pytest.mark.parametrize("make", [draft, command_draft])
def test_another_division_of_equal_updates_agrees(
    tmp_path: Path, make: Callable[[], Draft]
) -> None:
    """The losses of the draft are exact in binary, so their sums are equal in any order."""
    found = compare_drafts(tmp_path, make(), divided(make()))
    assert "identical" == found.outcome, found.doubts
    assert (WORDS,) == found.alignment
    assert {"batch_content", "rng"}.isdisjoint(stage.stage for stage in found.stages)


@pytest.mark.parametrize("make", [draft, command_draft])
def test_a_row_of_another_update_is_found(tmp_path: Path, make: Callable[[], Draft]) -> None:
    """By number or by digest, whatever the micro-batch."""
    candidate = make()
    column = "sample_ids" if make is draft else "rows"
    candidate.micro_batch(3, 2)[column][1] = 77
    found = compare_drafts(tmp_path, make(), divided(candidate))
    assert (3, None, "data_order") == place(found)
    assert found.first_divergence is not None
    named = "row 21 missing; row 77 unexpected" if make is draft else "1 row missing; 1 row unex"
    assert named in found.first_divergence.detail


def test_rows_in_another_order_within_an_update_agree(tmp_path: Path) -> None:
    """An update adds gradients; in which order its rows come is rounding."""
    candidate = divided(draft())
    for row in candidate.rows["micro_batches"]:
        row["sample_ids"] = row["sample_ids"][::-1]
    assert "identical" == compare_drafts(tmp_path, draft(), candidate).outcome


@pytest.mark.parametrize("column", ["loss", "task_loss"])
def test_another_loss_of_an_update_is_found(tmp_path: Path, column: str) -> None:
    """The sum of what goes backward, and the mean over the rows of the workload's own loss."""
    candidate = divided(draft())
    candidate.micro_batch(4)[column] *= 2
    found = compare_drafts(tmp_path, draft(), candidate)
    assert (4, None, "loss") == place(found)
    assert found.first_divergence is not None
    expected = sum(0.75 / 4 + number / 16 for number in (1, 2))
    expected /= 1 if column == "loss" else MICRO_BATCHES
    assert expected == pytest.approx(found.first_divergence.reference)
    assert 2 * expected == pytest.approx(found.first_divergence.candidate)


def test_a_weight_after_such_an_update_is_found(tmp_path: Path) -> None:
    """Gradients, weights and the optimizer's state are compared at the update."""
    candidate = divided(draft())
    candidate.step(2)["weights"] += 1
    assert (2, None, "weights") == place(compare_drafts(tmp_path, draft(), candidate))


def test_fewer_rows_are_a_difference_of_data(tmp_path: Path) -> None:
    """Not another division: a row is missing."""
    candidate = draft()
    row = candidate.micro_batch(2, 2)
    row |= {"sample_ids": row["sample_ids"][:3], "rows": row["rows"][:3]}
    found = compare_drafts(tmp_path, draft(), candidate)
    assert (2, 2, "data_order") == place(found)
    assert () == found.alignment


def test_other_steps_are_compared_by_micro_batch(tmp_path: Path) -> None:
    """Only step 3 is divided differently; a difference in step 5 has its micro-batch."""
    candidate = draft()
    whole = divided(draft())
    rows = [row for row in candidate.rows["micro_batches"] if row["step"] != 3]
    candidate.rows["micro_batches"] = sorted(
        [*rows, whole.micro_batch(3)], key=lambda row: (row["step"], row["micro_batch"])
    )
    candidate.recount()
    found = compare_drafts(tmp_path, draft(), candidate)
    assert "identical" == found.outcome, found.doubts
    assert " at step 3 (" in found.alignment[0]
    candidate.micro_batch(5, 2)["rng"] += 1
    assert (5, 2, "rng") == place(compare_drafts(tmp_path / "two", draft(), candidate))


def test_batches_without_rows_are_divided_if_every_step_has_other_counts(tmp_path: Path) -> None:
    """Then nothing is known of the rows, which is stated."""
    pair = [command_draft(), divided(command_draft())]
    for made in pair:
        for row in made.rows["micro_batches"]:
            row["rows"] = None
    found = compare_drafts(tmp_path, *pair)
    assert "(reference 2 micro-batches, candidate 1 micro-batch)" in found.alignment[0]
    assert "identical" != found.outcome


def test_the_loss_of_an_update_by_hand() -> None:
    """The sum of 0.5 and 0.25, on two processes half of it; the mean over 3 and 1 rows."""
    rows = (
        {"rows": [1, 2, 3], "sample_ids": None, "loss": 0.5, "task_loss": 1.0},
        {"rows": [4], "sample_ids": None, "loss": 0.25, "task_loss": 3.0},
    )
    assert (0.75, 1.5) == (Update(rows, 1).loss, Update(rows, 1).task_loss)
    assert 0.375 == Update(rows, 2).loss
    assert "3 + 1 rows" == Update(rows, 1).words
    assert [1, 2, 3, 4] == Update(rows, 1).listed("rows")


def halved(made: Draft) -> Draft:
    """Each micro-batch of one row becomes two, with a row of another digest each."""
    rows = []
    for row in made.rows["micro_batches"]:
        for number in (1, 2):
            half = {"micro_batch": number, "sample_ids": [2 * row["step"] + number - 1]}
            own = {"rows": half["sample_ids"], "loss": row["loss"] / 2}
            rows.append({**row, **half, **own})
    made.rows["micro_batches"] = rows
    made.recount()
    return made


def joined(made: Draft) -> Draft:
    """The same rows in one micro-batch."""
    for row in made.rows["micro_batches"]:
        row["sample_ids"] = row["rows"] = [2 * row["step"], 2 * row["step"] + 1]
    made.recount()
    return made


@pytest.mark.parametrize(("fault", "outcome"), [(0.0, "within_noise"), (1e-3, "different")])
def test_the_noise_band_tells_rounding_from_a_difference(
    tmp_path: Path, fault: float, outcome: str
) -> None:
    """One row twice a step against two rows at once: the losses of an update are comparable."""
    band = NoiseBand(write_noisy(tmp_path, "reference", None), write_draws(tmp_path), "weights")
    made = values(7)
    made.loss += fault
    pair = joined(noisy_draft(values(None), "one")), halved(noisy_draft(made, "two"))
    found = compare_drafts(tmp_path / "pair", *pair)
    assert "different" == found.outcome
    records = [pair[n].write(tmp_path / str(n)) for n in (0, 1)]
    assert outcome == apply_noise(found, records[0], records[1], band).outcome


def test_the_draft_has_what_the_sentences_name() -> None:
    """Two micro-batches of four rows in each of six steps."""
    assert (2, 4, 6) == (MICRO_BATCHES, BATCH_SIZE, STEPS)
