"""Learning rates are compared by parameter: whose rate it is counts, not the order of groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from tests.support.records import TENSORS, Draft, command_draft, compare_drafts, renamed


def rated(rates: list[float | None], owners: list[int], step: int | None = None) -> Draft:
    """A command with these rates and owners at each step, or at one."""
    made = command_draft()
    for row in made.rows["steps"]:
        if step in (None, row["step"]):
            row |= {"learning_rate": rates, "rate_of": owners}
    return made


def first_of(found: Comparison) -> Divergence:
    assert "different" == found.outcome, found.doubts
    assert found.first_divergence is not None
    assert "learning_rate" == found.first_divergence.stage
    return found.first_divergence


def test_the_order_of_rates_has_no_effect(tmp_path: Path) -> None:
    """Each parameter has the rate that it has in the other run."""
    pair = rated([1e-3, 1e-4], [0, 1, 1]), rated([1e-4, 1e-3], [1, 0, 0])
    assert "identical" == compare_drafts(tmp_path, *pair).outcome


def test_a_parameter_with_another_rate_is_named_with_both(tmp_path: Path) -> None:
    """The same two rates, with other owners, from step 1 on."""
    pair = rated([1e-3, 1e-4], [0, 1, 1]), rated([1e-3, 1e-4], [1, 0, 0])
    first = first_of(compare_drafts(tmp_path, *pair))
    assert (1, TENSORS[0], 3) == (first.step, first.tensor, first.tensors_differing)
    assert (1e-3, 1e-4) == (first.reference, first.candidate)
    assert (
        "embedding.weight: 0.0001 against 0.001 at step 1; 3 parameters have another rate"
        == first.detail
    )


def test_rates_follow_the_matched_names(tmp_path: Path) -> None:
    """A wrapped model in another order of its parameters."""
    other = renamed(rated([1e-4, 1e-3], [0, 0, 1]), "net.")
    other.header["parameter_names"] = other.header["parameter_names"][::-1]
    pair = rated([1e-3, 1e-4], [0, 1, 1]), other
    assert "identical" == compare_drafts(tmp_path, *pair).outcome
    other.step(4)["rate_of"] = [0, 1, 1]
    first = first_of(compare_drafts(tmp_path / "two", pair[0], other))
    assert (4, "classifier.weight") == (first.step, first.tensor)


@pytest.mark.parametrize(
    ("reference", "candidate", "detail"),
    [
        ([None], [None], ""),
        ([5e-5], [None], "none against 5e-05 at step 3"),
        ([0.0], [5e-5], "5e-05 against 0 at step 3"),
    ],
)
def test_an_optimizer_without_a_rate_has_none(
    tmp_path: Path, reference: list[Any], candidate: list[Any], detail: str
) -> None:
    """None is a value of its own, and equal to itself."""
    pair = rated(reference, [0, 0, 0], 3), rated(candidate, [0, 0, 0], 3)
    found = compare_drafts(tmp_path, *pair)
    if not detail:
        assert "identical" == found.outcome, found.doubts
    else:
        assert first_of(found).detail.startswith(detail)


def test_a_parameter_in_no_optimizer_is_a_difference_of_weights(tmp_path: Path) -> None:
    """It has no rate to compare. Without another difference it is a doubt."""
    pair = rated([5e-5], [0, 0, 0]), rated([5e-5], [0, 0, -1])
    words = f"{TENSORS[2]} is in no optimizer of the candidate that stepped at step 1"
    found = compare_drafts(tmp_path, *pair)
    assert "inconclusive" == found.outcome
    assert words in found.doubts
    pair[1].tensor(1, TENSORS[2])["weight"] += 1
    first = compare_drafts(tmp_path / "two", *pair).first_divergence
    assert first is not None
    assert (1, "weights", words) == (first.step, first.stage, first.detail)


def test_one_rate_for_all_that_are_updated_has_no_name(tmp_path: Path) -> None:
    """A frozen parameter, which no optimizer of one run holds, does not make two rates of one."""
    pair = rated([1e-3], [0, 0, 0]), rated([2e-3], [0, 0, -1])
    first = first_of(compare_drafts(tmp_path, *pair))
    assert (None, [1e-3], [2e-3]) == (first.tensor, first.reference, first.candidate)


@pytest.mark.parametrize(
    ("rates", "owners", "words"),
    [
        ([1e-3, 2e-3], [0, 0, 0], "a learning rate of step 1 belongs to none of its parameters"),
        ([1e-3], [0, 0, 1], "rate_of does not fit"),
        ([1e-3], [0, 0], "rate_of does not fit"),
        ([1e-3, 2e-3], None, "which parameter has which learning rate"),
    ],
)
def test_rates_that_contradict_their_record_are_no_agreement(
    tmp_path: Path, rates: list[Any], owners: Any, words: str
) -> None:
    """Equal in both runs, and still a doubt."""
    found = compare_drafts(tmp_path, rated(rates, owners), rated(rates, owners))
    assert "inconclusive" == found.outcome
    assert any(words in doubt for doubt in found.doubts), found.doubts
