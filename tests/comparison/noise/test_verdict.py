"""The outcome of a comparison after it is compared with noise."""

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
    """The reference, without noise."""
    return write_noisy(tmp_path_factory.mktemp("reference"), "reference", None)


@pytest.fixture(scope="module")
def draws(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    """Eight draws of its noise."""
    return write_draws(tmp_path_factory.mktemp("draws"))


@pytest.fixture(scope="module")
def band(reference: RunRecord, draws: list[RunRecord]) -> NoiseBand:
    """The noise of the reference."""
    return NoiseBand(reference, draws, "weights")


def bitwise(one: RunRecord, two: RunRecord) -> Comparison:
    """The comparison without noise."""
    return compare(one, two, ("reference", "candidate"))


def test_a_clean_pair_becomes_within_noise(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Bit for bit it is different, within the noise it is not; the verdict follows."""
    clean = write_noisy(tmp_path, "clean", 7)
    before = bitwise(reference, clean)
    after = apply_noise(before, reference, clean, band)
    assert ("different", "within_noise") == (before.outcome, after.outcome)
    assert before.first_divergence == after.first_divergence
    assert "equivalent" == verdict(["completed"], [after])
    assert "no field is outside the noise band of 8 draws" in sentence(after)


def test_a_faulty_pair_stays_different(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Control: the same with a fault, and the sentence names the field."""

    def fault(made: Values) -> None:
        made.loss += 4 * NOISE

    faulty = write_noisy(tmp_path, "faulty", 7, fault)
    after = apply_noise(bitwise(reference, faulty), reference, faulty, band)
    assert "different" == after.outcome
    assert "outside the noise band of 8 draws in mean of loss" in sentence(after)


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
    trace: str, column: str, value: Any, band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Another order, batch, generator or learning rate is different, however small the rest."""
    run = noisy_draft(values(7), "other")
    run.rows[trace][5][column] = value
    other = run.write(tmp_path / "other")
    after = apply_noise(bitwise(reference, other), reference, other, band)
    assert after.noise is not None
    assert ("within_noise", "different") == (after.noise.outcome, after.outcome)


@pytest.mark.parametrize(
    ("setting", "outcome"), [("model.attention", "within_noise"), ("weights.dtype", "different")]
)
def test_only_a_decisive_setting_is_beyond_rounding(
    setting: str, outcome: str, band: NoiseBand, tmp_path: Path
) -> None:
    """Another kernel may only round differently; weights of another type are more."""
    records: list[RunRecord] = []
    for name, draw in (("one", None), ("two", 7)):
        run = noisy_draft(values(draw), name)
        run.header["settings"] = {setting: name}
        records.append(run.write(tmp_path / name))
    one, two = records
    after = apply_noise(bitwise(one, two), one, two, band)
    assert outcome == after.outcome


def test_identical_stays_identical(reference: RunRecord, draws: list[RunRecord]) -> None:
    """An identical pair is not compared with noise and needs no reference."""
    same = bitwise(reference, reference)
    for noise in (CaseNoise(reference, draws), CaseNoise(None, [])):
        after = noise.apply(same, reference, reference)
        assert ("identical", (), None) == (after.outcome, after.doubts, after.noise)


def test_a_doubt_prevents_within_noise(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """A run without an evaluation is never within noise, however close its weights are."""
    run = noisy_draft(values(7), "bare")
    run.header["evaluations"] = ()
    bare = run.write(tmp_path / "bare")
    after = apply_noise(bitwise(reference, bare), reference, bare, band)
    assert "inconclusive" == after.outcome
    assert any("not evaluated" in doubt for doubt in after.doubts)


def test_without_draws_a_difference_is_inconclusive(
    reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """Missing draws or a missing reference are the reason; another order of rows is different even
    without them."""
    clean = write_noisy(tmp_path, "clean", 7)
    pair = bitwise(reference, clean)
    for noise, why in (
        (CaseNoise(reference, draws[:2]), "4 draws"),
        (CaseNoise(None, draws), "missing"),
    ):
        after = noise.apply(pair, reference, clean)
        assert "inconclusive" == after.outcome
        assert why in after.doubts[-1]
    assert "within_noise" == CaseNoise(reference, draws).apply(pair, reference, clean).outcome
    run = noisy_draft(values(7), "shuffled")
    run.rows["micro_batches"][5]["sample_ids"] = [9]
    shuffled = run.write(tmp_path / "shuffled")
    after = CaseNoise(reference, []).apply(bitwise(reference, shuffled), reference, shuffled)
    assert "different" == after.outcome


def noisy_spec(**more: Any) -> RunSpec:
    """A spec whose case requests 5 draws; `more` changes its recipe."""
    plain = spec()
    case = plain.case.model_copy(update={"noise": 5})
    recipe = Recipe.model_validate({**plain.recipe.model_dump(), **more})
    return plain.model_copy(update={"case": case, "recipe": recipe, "sketch": True})


def test_draws_are_those_that_the_pairs_need() -> None:
    """Weights for fp32 runs, bf16 for passes in bf16, and both if a pair has both."""
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


def test_a_compiled_reference_is_refused() -> None:
    """Hooks inside a compiled model would be compiled with it."""
    with pytest.raises(SpecError, match="not compiled"):
        draw_specs([noisy_spec(compile="eager"), noisy_spec(precision="bf16")])


def test_two_runs_of_another_precision_have_no_noise_band(
    reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """The noise of an fp32 reference does not apply to two bf16 runs."""
    drafts = [noisy_draft(values(seed), f"bf16-{seed}") for seed in (7, 8)]
    for run in drafts:
        run.header["spec"] = noisy_spec(precision="bf16")
    one, two = (run.write(tmp_path / str(number)) for number, run in enumerate(drafts))
    after = CaseNoise(reference, draws).apply(bitwise(one, two), one, two)
    assert "inconclusive" == after.outcome
    assert "precision of the first run" in after.doubts[-1]
