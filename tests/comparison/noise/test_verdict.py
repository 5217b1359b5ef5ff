"""What becomes of a comparison once it is judged against noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.noise.verdict import apply_noise
from harness.errors import SpecError
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.report import verdict
from harness.spec.case import RunSpec
from harness.spec.expand import draw_specs
from harness.spec.recipe import Recipe
from tests.support.noisy_records import NOISE, Values, noisy_draft, values, write_draws, write_noisy
from tests.support.records import spec


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The reference, without noise of its own."""
    return write_noisy(tmp_path_factory.mktemp("reference"), "reference", None)


@pytest.fixture(scope="module")
def draws(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    """Eight draws of its noise."""
    return write_draws(tmp_path_factory.mktemp("draws"))


@pytest.fixture(scope="module")
def envelope(reference: RunRecord, draws: list[RunRecord]) -> NoiseBand:
    """The noise of the reference."""
    return NoiseBand(reference, draws, "weights")


def bitwise(one: RunRecord, two: RunRecord) -> Comparison:
    """As it is without noise."""
    return compare(one, two, ("reference", "candidate"))


def test_a_clean_pair_becomes_within_noise(
    envelope: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Bit for bit it is different; against the noise it is not, and the verdict says so."""
    clean = write_noisy(tmp_path, "clean", 7)
    before = bitwise(reference, clean)
    after = apply_noise(before, reference, clean, envelope)
    assert ("different", "within_noise") == (before.outcome, after.outcome)
    assert before.first_divergence == after.first_divergence
    assert "equivalent" == verdict(["completed"], [after])
    assert "no field beyond the noise of 8 draws" in sentence(after)


def test_a_faulty_pair_stays_different(
    envelope: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Control: the same with a fault, and the sentence names the field."""

    def fault(made: Values) -> None:
        made.loss += 4 * NOISE

    faulty = write_noisy(tmp_path, "faulty", 7, fault)
    after = apply_noise(bitwise(reference, faulty), reference, faulty, envelope)
    assert "different" == after.outcome
    assert "beyond the noise of 8 draws in mean of loss" in sentence(after)


@pytest.mark.parametrize(
    ("trace", "column", "value"),
    [
        ("steps", "learning_rate", [1.001e-3]),
        ("micro_batches", "sample_ids", [9]),
        ("micro_batches", "batch_content", 9),
        ("micro_batches", "rng", 9),
    ],
)
def test_what_rounding_does_not_change_is_never_noise(
    trace: str, column: str, value: Any, envelope: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Another order, batch, generator or learning rate is a difference, however small the rest."""
    run = noisy_draft(values(7), "other")
    run.rows[trace][5][column] = value
    other = run.write(tmp_path / "other")
    after = apply_noise(bitwise(reference, other), reference, other, envelope)
    assert after.noise is not None
    assert ("within_noise", "different") == (after.noise.outcome, after.outcome)


@pytest.mark.parametrize(
    ("setting", "outcome"), [("model.attention", "within_noise"), ("weights.dtype", "different")]
)
def test_a_setting_is_no_value_unless_it_comes_before_all(
    setting: str, outcome: str, envelope: NoiseBand, tmp_path: Path
) -> None:
    """Another kernel is set up otherwise and may be rounding; weights of another type are not."""
    records: list[RunRecord] = []
    for name, draw in (("one", None), ("two", 7)):
        run = noisy_draft(values(draw), name)
        run.header["settings"] = {setting: name}
        records.append(run.write(tmp_path / name))
    one, two = records
    after = apply_noise(bitwise(one, two), one, two, envelope)
    assert outcome == after.outcome


def test_identical_stays_identical(reference: RunRecord, draws: list[RunRecord]) -> None:
    """There is nothing to be judged in a pair that is the same bit for bit, nor need there be."""
    same = bitwise(reference, reference)
    for judge in (CaseNoise(reference, draws), CaseNoise(None, [])):
        after = judge(same, reference, reference)
        assert ("identical", (), None) == (after.outcome, after.doubts, after.noise)


def test_other_doubts_are_not_outweighed_by_little_noise(
    envelope: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """A run that was not evaluated is within no noise, however near its weights are."""
    run = noisy_draft(values(7), "bare")
    run.header["evaluations"] = ()
    bare = run.write(tmp_path / "bare")
    after = apply_noise(bitwise(reference, bare), reference, bare, envelope)
    assert "inconclusive" == after.outcome
    assert any("not evaluated" in doubt for doubt in after.doubts)


def test_without_draws_a_difference_is_open(
    reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """Missing draws or a missing reference: inconclusive with the reason, never a pass or a fault;
    but another order of the rows is different without them too."""
    clean = write_noisy(tmp_path, "clean", 7)
    pair = bitwise(reference, clean)
    for judge, why in (
        (CaseNoise(reference, draws[:2]), "4 draws"),
        (CaseNoise(None, draws), "missing"),
    ):
        after = judge(pair, reference, clean)
        assert "inconclusive" == after.outcome
        assert why in after.doubts[-1]
    assert "within_noise" == CaseNoise(reference, draws)(pair, reference, clean).outcome
    run = noisy_draft(values(7), "shuffled")
    run.rows["micro_batches"][5]["sample_ids"] = [9]
    shuffled = run.write(tmp_path / "shuffled")
    after = CaseNoise(reference, [])(bitwise(reference, shuffled), reference, shuffled)
    assert "different" == after.outcome


def noisy_spec(**more: Any) -> RunSpec:
    """A spec whose case asks for 5 draws; `more` changes the recipe that it follows."""
    plain = spec()
    case = plain.case.model_copy(update={"noise": 5})
    recipe = Recipe.model_validate({**plain.recipe.model_dump(), **more})
    return plain.model_copy(update={"case": case, "recipe": recipe, "sketch": True})


def test_draws_are_those_that_the_pairs_need() -> None:
    """By weights where fp32 is rounded, by bf16 where passes round to it, both where both are."""
    one, bf16 = noisy_spec(), noisy_spec(precision="bf16")
    eager = noisy_spec(attention="eager")

    def kinds(*specs: RunSpec) -> list[tuple[str, int]]:
        drawn = [each.perturbation for each in draw_specs(specs)]
        return [(each.rounding, each.draw) for each in drawn if each]

    numbers = range(1, 6)
    assert [("weights", n) for n in numbers] == kinds(one, eager)
    assert [("bf16", n) for n in numbers] == kinds(one, bf16)
    assert [("weights", n) for n in numbers] == kinds(bf16, bf16)
    other_kernel = noisy_spec(precision="bf16", attention="eager")
    assert [("bf16", n) for n in numbers] == kinds(bf16, other_kernel)
    assert [] == kinds(one, noisy_spec(precision="fp16"))
    both = [("weights", n) for n in numbers] + [("bf16", n) for n in numbers]
    assert both == kinds(one, eager, bf16)
    assert [] == kinds(one)
    assert [] == kinds(spec(), spec())


def test_a_compiled_reference_is_not_disturbed() -> None:
    """Hooks inside a compiled model would be compiled along, so that it is refused."""
    with pytest.raises(SpecError, match="not compiled"):
        draw_specs([noisy_spec(compile="eager"), noisy_spec(precision="bf16")])


def test_two_runs_of_another_precision_have_no_envelope_here(
    reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """The noise of an fp32 reference says nothing of two bf16 runs."""
    drafts = [noisy_draft(values(seed), f"bf16-{seed}") for seed in (7, 8)]
    for run in drafts:
        run.header["spec"] = noisy_spec(precision="bf16")
    one, two = (run.write(tmp_path / str(number)) for number, run in enumerate(drafts))
    after = CaseNoise(reference, draws)(bitwise(one, two), one, two)
    assert "inconclusive" == after.outcome
    assert "precision of the first run" in after.doubts[-1]
