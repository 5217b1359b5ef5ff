"""A lower detail records less, is compared on what it holds, and states what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.execution.parent.plan import plan
from harness.report.text.summary import sentence
from harness.results.levels import NOT_RECORDED
from harness.results.report import verdict
from harness.spec.case import Case
from harness.spec.recipe import DETAILS, Detail
from harness.spec.request import RunRequest
from tests.support.records import Draft, compare_drafts, draft, spec


def at(detail: Detail, loop: str = "plain") -> Draft:
    """A run as it would be recorded at this detail."""
    made = draft(loop)
    made.header["spec"] = spec(loop, detail=detail)
    for row in made.rows["steps"]:
        row |= dict.fromkeys(NOT_RECORDED[detail])
    if detail == "steps":
        del made.rows["tensors"]
    elif detail == "weights":
        for row in made.rows["tensors"]:
            row["optimizer_state"] = None
    return made


@pytest.mark.parametrize("detail", DETAILS)
def test_equal_records_of_one_level_are_identical_at_it(detail: Detail, tmp_path: Path) -> None:
    """The sentence states what the level leaves out."""
    found = compare_drafts(tmp_path, at(detail), at(detail))
    assert ("identical", ()) == (found.outcome, found.doubts)
    assert NOT_RECORDED[detail] == found.left_out
    assert {stage.stage for stage in found.stages}.isdisjoint(NOT_RECORDED[detail])
    sentence_text = sentence(found)
    assert (detail != "full") == (f"at detail {detail}, which leaves out" in sentence_text)
    assert all(stage in sentence_text for stage in NOT_RECORDED[detail])


@pytest.mark.parametrize(("one", "two"), [("steps", "full"), ("full", "weights")])
def test_records_of_two_levels_are_never_identical(
    one: Detail, two: Detail, tmp_path: Path
) -> None:
    """What only one run recorded is not compared, and that is a doubt, not an agreement."""
    found = compare_drafts(tmp_path, at(one), at(two))
    lower = min(one, two, key=DETAILS.index)
    assert ("inconclusive", lower) == (found.outcome, found.detail)
    assert [doubt for doubt in found.doubts if "run both with --detail full" in doubt]
    assert all(stage in found.doubts[-1] for stage in NOT_RECORDED[lower])


@pytest.mark.parametrize(("one", "two"), [("steps", "steps"), ("steps", "full")])
def test_a_difference_in_what_both_hold_is_found(one: Detail, two: Detail, tmp_path: Path) -> None:
    """Control: one ulp of a loss at a lower level is a difference, whatever the other level."""
    spoilt = at(two)
    spoilt.micro_batch(4)["loss"] += 1e-12
    found = compare_drafts(tmp_path, at(one), spoilt)
    assert found.outcome == "different"
    assert found.first_divergence is not None
    assert (4, "loss") == (found.first_divergence.step, found.first_divergence.stage)


def test_a_weight_that_differs_is_seen_at_the_level_of_weights(tmp_path: Path) -> None:
    """Control: with the optimizer's state left out, weights are still compared bit for bit."""
    spoilt = at("weights")
    spoilt.step(5)["weights"] ^= 1
    spoilt.tensor(5, "classifier.bias")["weight"] ^= 1
    found = compare_drafts(tmp_path, at("weights"), spoilt)
    assert found.outcome == "different"
    assert found.first_divergence is not None
    assert "classifier.bias" == found.first_divergence.tensor


def test_a_missing_value_that_a_level_records_is_a_doubt(tmp_path: Path) -> None:
    """A null is expected only in the columns that the level leaves out."""
    spoilt = at("weights")
    spoilt.step(3)["weights"] = None
    found = compare_drafts(tmp_path, spoilt, spoilt)
    assert "inconclusive" == found.outcome
    assert any("weights is missing at step 3" in doubt for doubt in found.doubts)


def test_noise_needs_the_full_detail() -> None:
    """A lower detail with draws is refused before anything runs."""
    case = Case(name="noisy", workload="paraphrase", noise=8)
    with pytest.raises(SpecError, match="noise band is measured on full traces"):
        plan(RunRequest(cases=(case,), loops=("plain",), detail="steps"))


def test_two_levels_have_no_verdict(tmp_path: Path) -> None:
    """Unknown is never green."""
    found = compare_drafts(tmp_path, at("steps"), at("weights"))
    assert "no_verdict" == verdict(["completed", "completed"], [found])
