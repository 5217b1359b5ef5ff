"""Comparisons of a loop with itself on another device."""

from __future__ import annotations

from pathlib import Path

from harness.comparison.variants import compare_variants
from harness.results.record import RunRecord
from harness.spec.case import Case
from harness.spec.expand import expand_by_device, expand_by_seed
from harness.spec.recipe import Recipe
from tests.support.records import Draft, Spoil, draft

CASE = Case(name="tiny", workload="paraphrase", recipe=Recipe(max_steps=6))


def record(folder: Path, case: Case, spoil: Spoil = lambda made: None) -> RunRecord:
    made = draft()
    made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
    spoil(made)
    return made.write(folder / case.name)


def diverging(made: Draft) -> None:
    made.step(2)["weights"] ^= 1


def test_each_loop_is_compared_with_itself_on_the_first(tmp_path: Path) -> None:
    """Two loops on three devices are four pairs; one that differs is found, and only that."""
    cases = expand_by_device(CASE, ["cpu", "cuda", "xpu"])
    runs = [
        (
            label,
            case,
            record(tmp_path / label, case, diverging if case.device == "xpu" else Draft.recount),
        )
        for case in cases
        for label in ("plain", "trainer")
    ]
    found = compare_variants([*runs, ("plain", CASE, record(tmp_path, CASE))], {})
    assert [
        ("tiny", "plain on cpu", "plain on cuda", "identical"),
        ("tiny", "plain on cpu", "plain on xpu", "different"),
        ("tiny", "trainer on cpu", "trainer on cuda", "identical"),
        ("tiny", "trainer on cpu", "trainer on xpu", "different"),
    ] == [(pair.case, pair.reference, pair.candidate, pair.outcome) for pair in found]


def test_a_missing_record_is_reported(tmp_path: Path) -> None:
    """An interrupted run may have left none."""
    cpu, cuda = expand_by_device(CASE, ["cpu", "cuda"])
    (found,) = compare_variants([("plain", cpu, record(tmp_path, cpu)), ("plain", cuda, None)], {})
    assert ("incomparable", ("plain on cuda is missing; run it",)) == (found.outcome, found.doubts)


def test_seeds_on_devices_are_one_comparison(tmp_path: Path) -> None:
    """The seeds of two devices are compared in pairs."""
    cases = [
        seed for case in expand_by_device(CASE, ["cpu", "cuda"]) for seed in expand_by_seed(case, 3)
    ]
    (found,) = compare_variants([("plain", case, record(tmp_path, case)) for case in cases], {})
    assert ("identical", 3) == (found.outcome, len(found.seeds))
    assert "paired, over 3 seeds" in found.test
