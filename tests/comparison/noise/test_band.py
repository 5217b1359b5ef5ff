"""The noise band accepts noise, finds faults, and reports where it is too wide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.mean_shift import ALLOWANCE, FALSE_ALARMS
from harness.errors import RecordError
from harness.results.noise import FieldNoise, Noise
from harness.results.record import RunRecord
from tests.support.noisy_records import (
    NOISE,
    STEPS,
    Values,
    noisy_draft,
    values,
    write_draws,
    write_noisy,
)
from tests.support.records import evaluation


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


def field(noise: Noise, name: str) -> FieldNoise:
    """The field of that name."""
    return next(found for found in noise.fields if found.field == name)


def beyond(noise: Noise) -> set[str]:
    """The fields that pass their bounds."""
    return {found.field for found in noise.fields if found.outcome == "different"}


def test_a_pair_that_differs_by_noise_alone_is_within_noise(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Thirty further draws of the same noise are all within the band."""
    for seed in range(30):
        noise = band.compare(reference, write_noisy(tmp_path, f"clean-{seed}", seed))
        assert ("within_noise", set(), ()) == (noise.outcome, beyond(noise), noise.doubts), seed


def one_loss(made: Values) -> None:
    made.loss[20] += 300 * NOISE


def one_norm(made: Values) -> None:
    made.grad_norm[3] *= 1 + 50 * NOISE


def one_tensor(made: Values) -> None:
    made.weights[30:, 2] += 20 * NOISE  # which leaves its movement, so that others do not see it


def every_loss(made: Values) -> None:
    made.loss += 4 * NOISE  # at each step well within the noise of that step


def movement(made: Values) -> None:
    made.weights += 1e-5 * (made.weights - made.weights[:1])


def decay(made: Values) -> None:
    made.weights[1:] -= 1e-5 * made.weights[:1]


def final_loss(made: Values) -> None:
    made.evaluation_loss += 50 * NOISE


def initial_weights(made: Values) -> None:
    made.weights[:, 1] += 1e-4


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (one_loss, "loss"),
        (one_norm, "grad_norm"),
        (one_tensor, "tensors"),
        (every_loss, "mean_loss"),
        (movement, "along_movement"),
        (decay, "along_initial_weights"),
        (final_loss, "evaluation_loss"),
        (initial_weights, "tensors"),
    ],
)
def test_a_fault_leaves_the_band_of_its_field(
    fault: Callable[[Values], None],
    seen: str,
    band: NoiseBand,
    reference: RunRecord,
    tmp_path: Path,
) -> None:
    """Control: a fault on top of the noise is different, in the right field."""
    noise = band.compare(reference, write_noisy(tmp_path, "faulty", 7, fault))
    assert "different" == noise.outcome
    assert seen in beyond(noise)


def test_a_mean_shift_is_found_that_no_step_shows(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """A shift of four times the noise is hidden at each step, but not in the mean of forty."""
    noise = band.compare(reference, write_noisy(tmp_path, "faulty", 7, every_loss))
    assert {"mean_loss"} == beyond(noise)


def test_the_differing_tensor_is_named(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Of three tensors the one that differs."""
    noise = band.compare(reference, write_noisy(tmp_path, "faulty", 7, one_tensor))
    assert "classifier.bias" == field(noise, "tensors").tensor


@pytest.mark.parametrize(("share", "outcome"), [(1.25, "different"), (0.75, "within_noise")])
def test_the_smallest_visible_fault_is_just_visible(
    share: float, outcome: str, band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """A learning rate that is wrong by slightly more than the stated size is found, by less not."""
    clean = band.compare(reference, write_noisy(tmp_path, "clean", 7))
    visible = field(clean, "along_movement").smallest_visible
    assert visible is not None

    def off(made: Values) -> None:
        made.weights += share * visible * (made.weights - made.weights[:1])

    noise = band.compare(reference, write_noisy(tmp_path, "faulty", 7, off))
    assert outcome == field(noise, "along_movement").outcome


def test_the_evaluation_loss_by_hand(
    band: NoiseBand, reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """Its difference, the noise of the draws, and the bound of a t-test."""
    found = field(band.compare(reference, write_noisy(tmp_path, "clean", 7)), "evaluation_loss")
    drawn = [draw.header.final_metrics["loss"] - 0.5 for draw in draws]
    scale = float(np.sqrt(np.mean(np.square(drawn))))
    level = FALSE_ALARMS / 9  # as many fields and tests, each two-sided
    assert values(7).evaluation_loss - 0.5 == pytest.approx(found.largest)
    assert scale == pytest.approx(found.envelope)
    assert ALLOWANCE * stats.t.isf(level / 2, df=8) * scale == pytest.approx(found.threshold)
    assert found.threshold / 0.5 == pytest.approx(found.smallest_visible)
    assert abs(found.largest) / 2**-24 == pytest.approx(found.ulp, abs=1)  # between 1/2 and 1


def test_the_noise_of_weights_grows_with_the_step(
    reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """Near its end a random walk of 40 steps has gone about sqrt(40) times as far as in one."""
    band = NoiseBand(reference, draws, "weights")

    def late(made: Values) -> None:
        made.weights[-1] += 1e-3

    def early(made: Values) -> None:
        made.weights[1] += 1e-3

    ends = [
        field(band.compare(reference, write_noisy(tmp_path, name, 7, spoil)), "weights")
        for name, spoil in (("early", early), ("late", late))
    ]
    assert [1, STEPS] == [end.step for end in ends]
    assert np.sqrt(STEPS) == pytest.approx(ends[1].envelope / ends[0].envelope, rel=0.15)


def test_two_candidates_have_wider_bounds(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """If neither is the reference, bounds are sqrt(2) times as wide."""
    one, two = (write_noisy(tmp_path, f"clean-{seed}", seed) for seed in (7, 8))
    alone = field(band.compare(reference, two), "mean_loss").threshold
    assert np.sqrt(2) == pytest.approx(field(band.compare(one, two), "mean_loss").threshold / alone)


def test_a_band_as_wide_as_the_movement_is_inconclusive(tmp_path: Path) -> None:
    """With noise as large as the movement a clean pair is inconclusive, with a doubt."""
    reference = write_noisy(tmp_path, "reference", None)
    wide = NoiseBand(reference, write_draws(tmp_path, noise=0.2), "weights")
    noise = wide.compare(reference, write_noisy(tmp_path, "clean", 7, noise=0.2))
    assert ("inconclusive", set()) == (noise.outcome, beyond(noise))
    assert any("the noise band of weights is too wide" in doubt for doubt in noise.doubts)
    assert field(noise, "weights").smallest_visible is None


def test_the_outcome_rests_on_the_steps_with_a_narrow_band(tmp_path: Path) -> None:
    """Noise that doubles at each step is compared while it is small; a fault there is found."""
    reference = write_noisy(tmp_path, "reference", None)
    draws = write_draws(tmp_path, noise=1e-13, growth=2.0)
    band = NoiseBand(reference, draws, "weights")
    clean = band.compare(reference, write_noisy(tmp_path, "clean", 7, None, 1e-13, 2.0))
    loss = field(clean, "loss")
    assert STEPS / 2 < loss.judged < STEPS

    def early(made: Values) -> None:
        made.loss[4] += 1e-4

    faulty = band.compare(reference, write_noisy(tmp_path, "faulty", 7, early, 1e-13, 2.0))
    assert (5, "different") == (field(faulty, "loss").step, field(faulty, "loss").outcome)
    assert "different" == faulty.outcome


def test_a_metric_may_change_by_two_rows_and_no_more(
    band: NoiseBand, reference: RunRecord, tmp_path: Path
) -> None:
    """Of 8 rows two may flip, three may not."""
    for rows, outcome in ((2, "within_noise"), (3, "different")):
        run = noisy_draft(values(7), f"flipped-{rows}")
        (last,) = run.header["evaluations"]
        flipped = {**last.metrics, "accuracy": last.metrics["accuracy"] - rows / 8}
        run.header["evaluations"] = (last.model_copy(update={"metrics": flipped}),)
        noise = band.compare(reference, run.write(tmp_path / str(rows)))
        assert outcome == field(noise, "accuracy").outcome


def test_an_evaluation_during_the_run_counts_like_the_last(tmp_path: Path) -> None:
    """Three rows of 8 that flip halfway are different, although the ends are equal."""

    def halfway(name: str, seed: int | None, flipped: int) -> RunRecord:
        run = noisy_draft(values(seed), name)
        early = evaluation(20, accuracy=(7 - flipped) / 8)
        run.header["evaluations"] = (early, *run.header["evaluations"])
        return run.write(tmp_path / name)

    reference = halfway("reference", None, 0)
    band = NoiseBand(reference, [halfway(f"draw-{s}", s, 0) for s in range(20, 26)], "weights")
    clean = band.compare(reference, halfway("clean", 7, 0))
    faulty = band.compare(reference, halfway("faulty", 7, 3))
    assert ("within_noise", "different") == (clean.outcome, faulty.outcome)
    assert {"accuracy"} == beyond(faulty)
    with pytest.raises(RecordError, match="equal evaluations"):
        band.compare(reference, write_noisy(tmp_path, "once", 7))


def test_records_without_a_noise_band_are_refused(
    band: NoiseBand, reference: RunRecord, draws: list[RunRecord], tmp_path: Path
) -> None:
    """Too few draws, a failed run, no sketches, a NaN: each is refused with its rule."""
    with pytest.raises(RecordError, match="4 draws or more"):
        NoiseBand(reference, draws[:3], "weights")
    failed = noisy_draft(values(9), "failed")
    failed.header["status"] = "failed"
    with pytest.raises(RecordError, match="completed runs"):
        NoiseBand(reference, [*draws, failed.write(tmp_path / "failed")], "weights")
    bare = noisy_draft(values(9), "bare")
    del bare.rows["sketches"]
    with pytest.raises(RecordError, match="a sketch of each parameter"):
        band.compare(reference, bare.write(tmp_path / "bare"))

    def not_finite(made: Values) -> None:
        made.loss[3] = np.nan

    with pytest.raises(RecordError, match="finite"):
        band.compare(reference, write_noisy(tmp_path, "nan", 7, not_finite))
    short = noisy_draft(values(9), "short")
    short.cut(10)
    with pytest.raises(RecordError, match="one length and one model"):
        band.compare(reference, short.write(tmp_path / "short"))
