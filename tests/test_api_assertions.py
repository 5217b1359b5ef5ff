"""`harness.assert_equivalent` outside of pytest's plugin: levels, messages and reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness
from tests.support.records import Draft, draft


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal records."""
    return draft().write(tmp_path / "one").folder, draft("trainer").write(tmp_path / "two").folder


def spoiled() -> Draft:
    """A loss that is not the reference's."""
    made = draft()
    made.micro_batch(3)["loss"] = made.micro_batch(3)["task_loss"] = 0.75
    return made


def message(reference: Path, candidate: Path, level: str = "identical") -> str:
    """Why the assertion fails."""
    with pytest.raises(AssertionError) as caught:
        harness.assert_equivalent(reference, candidate, level)
    return str(caught.value)


@pytest.mark.parametrize("level", ["identical", "within_noise", "equivalent"])
def test_what_is_identical_satisfies_every_level(pair: tuple[Path, Path], level: str) -> None:
    """And leaves no report, unless a folder was asked for."""
    harness.assert_equivalent(*pair, level)
    harness.assert_equivalent(*pair, level, out=pair[0].parent / "report")
    assert (pair[0].parent / "report" / "report.html").is_file()


def test_a_planted_difference_fails_with_its_place_and_values(tmp_path: Path) -> None:
    """Control: the message holds them, and the report is there."""
    one, other = draft().write(tmp_path / "a").folder, spoiled().write(tmp_path / "b").folder
    text = message(one, other)
    assert text.startswith("expected identical, found different\n")
    assert "first at step 3, micro-batch 1 in loss" in text
    assert "\nb: 0.75\n" in text
    report = re.search(r"^report: (.+)$", text, re.MULTILINE)
    assert report is not None
    assert Path(report.group(1)).is_file()


def test_a_level_that_nothing_could_reach_states_what_it_needs(tmp_path: Path) -> None:
    """A noise band was not measured, and there is one seed."""
    one, other = draft().write(tmp_path / "a").folder, spoiled().write(tmp_path / "b").folder
    assert "pass noise=RUN_DIR" in message(one, other, "within_noise")
    assert "several seeds" in message(one, other, "equivalent")


def test_an_unknown_outcome_is_a_failure(tmp_path: Path) -> None:
    """A run that failed half way agrees as far as it went, which is no agreement."""
    failed = draft(status="failed", error="out of memory")
    one, other = draft().write(tmp_path / "a").folder, failed.write(tmp_path / "b").folder
    text = message(one, other)
    assert "found incomparable" in text
    assert "out of memory" in text


def test_wrong_use_is_one_line(pair: tuple[Path, Path]) -> None:
    """And no assertion."""
    with pytest.raises(harness.SpecError, match="unknown level"):
        harness.assert_equivalent(*pair, "equal")
    with pytest.raises(harness.SpecError, match="must exist"):
        harness.assert_equivalent(pair[0], "nowhere")
