"""Several seeds of a case as one comparison: which outcome holds, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.comparison.seeds import compare_seeds
from harness.results.comparison import Comparison
from harness.results.metrics import Margin
from harness.results.record import COLLAPSE, RunRecord
from harness.spec.case import Case
from harness.spec.recipe import Recipe
from tests.support.records import STEPS, Draft, draft, evaluation

SEEDS = (42, 43, 44, 45)
SCORES = {42: 0.80, 43: 0.85, 44: 0.90, 45: 0.75}
"""Accuracy of the reference; its F1 is the same."""
BIASES = {42: 0.004, 43: -0.004, 44: 0.002, 45: 0.0}
"""Candidate - reference: mean 0.0005, standard deviation sqrt(35e-6 / 3) = 0.0034157."""

Spoil = Callable[[int, Draft], object]


def one(seed: int, loop: str, score: float) -> Draft:
    made = draft(loop, evaluations=(evaluation(STEPS, accuracy=score, f1=score),))
    recipe = Recipe(**{**made.header["spec"].recipe.model_dump(), "seed": seed})
    case = Case(name=f"tiny-seed{seed}", workload="paraphrase", recipe=recipe, seed_of="tiny")
    spec = made.header["spec"].model_copy(update={"case": case, "recipe": recipe})
    made.header["spec"] = spec
    return made


def records_of(
    folder: Path, loop: str, scores: dict[int, float], spoil: Spoil | None = None
) -> dict[int, RunRecord]:
    """A record for each seed; `spoil` may change its draft."""
    records = {}
    for seed, score in scores.items():
        made = one(seed, loop, score)
        if spoil is not None:
            spoil(seed, made)
        records[seed] = made.write(folder / f"{loop}-{seed}")
    return records


def diverging(seed: int, made: Draft) -> None:
    """The weights of step 3 differ."""
    made.step(3)["weights"] ^= 1


def compared(
    folder: Path,
    candidate: dict[int, float],
    spoil: Spoil | None = diverging,
    spoil_reference: Spoil | None = None,
    margins: dict[str, Margin] | None = None,
) -> Comparison:
    left = records_of(folder, "plain", SCORES, spoil_reference)
    right = records_of(folder, "trainer", candidate, spoil)
    return compare_seeds("tiny", ("plain", "trainer"), left, right, margins or {})


BIASED = {seed: SCORES[seed] + BIASES[seed] for seed in SEEDS}


def test_equivalent_by_hand(tmp_path: Path) -> None:
    """t(0.95, 3) = 2.353363: the interval is 0.0005 -+ 2.353363 * 0.0034157 / 2.

    The candidate's squared deviations are 0.00046225, 0.00042025, 0.00585225 and 0.00570025: their
    sum over 3 is 0.004145, its root 0.0643817. The reference's are 0.0125 / 3, and 0.0645497.
    """
    found = compared(tmp_path, BIASED)
    accuracy = found.findings[0]

    assert ("equivalent", "tiny", 6) == (found.outcome, found.case, found.steps)
    assert ("accuracy", "equivalent", 0.02) == (accuracy.metric, accuracy.outcome, accuracy.margin)
    assert accuracy.interval == pytest.approx((-0.003519, 0.004519), abs=1e-6)
    assert (0.825, 0.8255) == pytest.approx((accuracy.reference, accuracy.candidate))
    assert accuracy.spread == pytest.approx((0.0645497, 0.0643817), abs=1e-6)
    assert accuracy.ratio == pytest.approx(0.8255 / 0.825)
    assert () == found.doubts
    assert list(SEEDS) == [seed.seed for seed in found.seeds]
    assert {"different"} == {seed.outcome for seed in found.seeds}
    assert found.first_divergence is not None
    assert (3, "weights") == (found.first_divergence.step, found.first_divergence.stage)
    assert "paired, over 4 seeds" in found.test


def test_an_interval_beyond_the_margin_is_different(tmp_path: Path) -> None:
    """Control: the same spread around a mean that is 0.1 lower."""
    found = compared(tmp_path, {seed: score - 0.1 for seed, score in BIASED.items()})

    assert "different" == found.outcome
    assert found.findings[0].interval == pytest.approx((-0.103519, -0.095481), abs=1e-6)


def test_a_given_margin_overrides_the_table(tmp_path: Path) -> None:
    """A margin of 0.004 needs more seeds, and the doubt states how many."""
    found = compared(tmp_path, BIASED, margins={"accuracy": Margin(0.004)})
    accuracy, f1 = found.findings

    assert "inconclusive" == found.outcome
    assert ("inconclusive", "equivalent") == (accuracy.outcome, f1.outcome)
    assert accuracy.needed is not None
    assert accuracy.needed > 4
    assert any(f"about {accuracy.needed} seeds" in doubt for doubt in found.doubts)


def test_identical_seeds_have_an_interval_of_zero_width(tmp_path: Path) -> None:
    """The spread of zero is not divided by; if one seed diverges, the tests decide."""
    found = compared(tmp_path / "same", SCORES, spoil=None)
    assert "identical" == found.outcome
    assert [("equivalent", (0.0, 0.0))] * 2 == [(f.outcome, f.interval) for f in found.findings]

    def one_diverging(seed: int, made: Draft) -> None:
        if seed == 44:
            diverging(seed, made)

    found = compared(tmp_path / "diverging", SCORES, one_diverging)
    assert "inconclusive" == found.outcome
    assert all(finding.interval is None for finding in found.findings)
    assert any("no spread" in doubt for doubt in found.doubts)


def test_different_seeds_are_compared_unpaired(tmp_path: Path) -> None:
    """Welch over all seeds; partly shared seeds are incomparable."""
    left = records_of(tmp_path, "plain", SCORES)
    other = {seed + 100: score for seed, score in BIASED.items()}
    found = compare_seeds(
        "tiny", ("plain", "trainer"), left, records_of(tmp_path, "trainer", other), {}
    )
    assert "Welch, over 4 reference seeds and 4 candidate seeds" in found.test
    assert "inconclusive" == found.outcome
    assert () == found.seeds
    wide = {"accuracy": Margin(0.2), "f1": Margin(0.2)}
    right = records_of(tmp_path, "other", other)
    assert "equivalent" == compare_seeds("tiny", ("a", "b"), left, right, wide).outcome

    part = records_of(tmp_path, "part", {seed + 2: score for seed, score in BIASED.items()})
    found = compare_seeds("tiny", ("a", "b"), left, part, wide)
    assert "incomparable" == found.outcome
    assert "the two share seeds 44, 45 but not all seeds" in found.doubts[0]


def collapse_with(*seeds: int) -> Spoil:
    def spoil(seed: int, made: Draft) -> None:
        diverging(seed, made)
        if seed in seeds:
            made.header["warnings"] = (f"{COLLAPSE}: every answer was class 1",)

    return spoil


def test_a_collapse_in_both_loops_is_left_out_and_reported(tmp_path: Path) -> None:
    """The metrics of a collapsed run enter no mean; the outcome rests on the other seeds, with a
    doubt."""
    found = compared(tmp_path, {**BIASED, 44: 0.684}, collapse_with(44), collapse_with(44))
    accuracy = found.findings[0]

    assert (0.80 + 0.85 + 0.75) / 3 == pytest.approx(accuracy.reference)
    assert 0.8 == pytest.approx(accuracy.candidate)
    assert ("equivalent", "equivalent") == (found.outcome, accuracy.outcome)
    assert [f"{COLLAPSE}, left out: {loop} with seed 44" for loop in ("plain", "trainer")] == list(
        found.doubts
    )
    assert ["", "", "plain and trainer collapsed", ""] == [seed.left_out for seed in found.seeds]
    assert "over 3 seeds" in found.test


def test_a_collapse_in_one_loop_is_no_agreement(tmp_path: Path) -> None:
    """If only one loop collapses, the remaining seeds are a biased sample."""
    found = compared(tmp_path, {**BIASED, 44: 0.684}, collapse_with(44))

    assert "inconclusive" == found.outcome
    assert {"equivalent"} == {finding.outcome for finding in found.findings}
    assert any("biased sample" in doubt for doubt in found.doubts)
    assert f"{COLLAPSE}, left out: trainer with seed 44" == found.doubts[-1]


@pytest.mark.parametrize("spoil", [collapse_with(*SEEDS), collapse_with(*SEEDS[1:])])
def test_collapsed_runs_alone_have_no_outcome(tmp_path: Path, spoil: Spoil) -> None:
    """All runs, or all but one, collapsed: no metric is left to compare."""
    same = dict.fromkeys(SEEDS, 0.684)
    left, right = (
        records_of(tmp_path, "plain", same, spoil),
        records_of(tmp_path, "trainer", same, spoil),
    )
    found = compare_seeds("tiny", ("plain", "trainer"), left, right, {})

    assert "inconclusive" == found.outcome
    assert not [finding for finding in found.findings if finding.outcome != "inconclusive"]


def test_a_metric_that_is_not_a_number_is_no_agreement(tmp_path: Path) -> None:
    """NaN in both runs of one seed, in runs that are equal in every other bit."""
    spoiled = {**SCORES, 43: math.nan}
    left, right = records_of(tmp_path, "plain", spoiled), records_of(tmp_path, "trainer", spoiled)
    found = compare_seeds("tiny", ("plain", "trainer"), left, right, {})

    assert "inconclusive" == found.outcome
    assert any("not finite" in doubt for doubt in found.doubts)


def test_a_metric_that_a_run_lacks_is_no_agreement(tmp_path: Path) -> None:
    """One run of one seed has no F1."""

    def lose_f1(seed: int, made: Draft) -> None:
        diverging(seed, made)
        if seed == 43:
            kept = evaluation(STEPS, accuracy=BIASED[43])
            del kept.metrics["f1"]
            made.header["evaluations"] = (kept,)

    found = compared(tmp_path, BIASED, lose_f1)
    assert "inconclusive" == found.outcome
    assert {"accuracy": "equivalent", "f1": "inconclusive"} == {
        finding.metric: finding.outcome for finding in found.findings
    }


def test_a_metric_without_a_margin_is_not_judged(tmp_path: Path) -> None:
    """A metric of a workload has no margin; a doubt states it."""

    def add(seed: int, made: Draft) -> None:
        diverging(seed, made)
        made.header["evaluations"] = (
            evaluation(STEPS, accuracy=BIASED[seed], f1=BIASED[seed], matthews=BIASED[seed]),
        )

    found = compared(tmp_path, BIASED, add)
    assert "inconclusive" == found.outcome
    assert any(doubt.startswith("matthews: it has no margin") for doubt in found.doubts)


def test_an_unsound_record_keeps_the_seeds_from_agreeing(tmp_path: Path) -> None:
    """One loss that is NaN in one run of eight; with other seeds as with the same."""

    def spoil(seed: int, made: Draft) -> None:
        diverging(seed, made)
        if seed == 45:
            made.micro_batch(2)["loss"] = math.nan

    found = compared(tmp_path / "paired", BIASED, spoil)
    assert "inconclusive" == found.outcome
    assert "seed 45: trainer: loss is nan at step 2, which is never an agreement" in found.doubts

    def late(seed: int, made: Draft) -> None:
        spoil(seed - 100, made)

    wide = {"accuracy": Margin(0.2), "f1": Margin(0.2)}
    other = {seed + 100: score for seed, score in BIASED.items()}
    found = compared(tmp_path / "other", other, late, margins=wide)
    assert "inconclusive" == found.outcome
    assert any("trainer, seed 145: loss is nan at step 2" in doubt for doubt in found.doubts)


def test_a_run_that_failed_makes_the_seeds_incomparable(tmp_path: Path) -> None:
    """It is named once, with its seed and its error."""

    def fail(seed: int, made: Draft) -> None:
        if seed == 43:
            made.header.update(status="failed", error="boom")

    found = compared(tmp_path, BIASED, fail)
    assert "incomparable" == found.outcome
    assert 1 == sum("boom" in doubt for doubt in found.doubts)
    assert "trainer, seed 43 failed: boom" == found.doubts[0]
