"""The whole text on typical differences, and that nothing unknown is claimed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.report.text.causes import reasons
from harness.report.text.summary import sentence
from harness.report.text.values import setting_text
from harness.results.comparison import Comparison
from harness.results.record import Observation
from tests.support.evidence import LIMIT, evident, scale_gradients
from tests.support.records import STEPS, TENSORS, Draft, compare_drafts

GOLDEN = Path(__file__).parent / "golden"


def other_weights(made: Draft, step: int = 1) -> None:
    """From `step` on every weight differs."""
    for row in (*made.rows["steps"], *made.rows["tensors"]):
        if row["step"] >= step:
            row["weights" if "weights" in row else "weight"] ^= 1


def not_divided(made: Draft) -> None:
    scale_gradients(made, 2.0)
    made.header["observed"] = {"loss_scaled": [Observation(step=1, value=2.0)]}


def left_to_the_model(made: Draft) -> None:
    not_divided(made)
    made.header["settings"]["trainer.leaves_average_to_model"] = True


def decayed_by_default(made: Draft) -> None:
    made.header["settings"]["optimizer.weight_decay"] = 0.01
    other_weights(made)


def unclipped(made: Draft) -> None:
    for row in made.rows["norms"]:
        row["applied"] = row["gradient"]
    other_weights(made)


def clipped_elsewhere(made: Draft) -> None:
    """To half the norm to which the reference clips."""
    rows = [row for row in made.rows["norms"] if row["step"]]
    for row in rows:
        total = math.hypot(*(each["gradient"] for each in rows if each["step"] == row["step"]))
        row["applied"] = row["gradient"] * min(1.0, 0.5 * LIMIT / total)
    other_weights(made)


def clipped_while_scaled(made: Draft) -> None:
    """To a 16th, as if a loss scaler had multiplied the gradients that were clipped."""
    for row in made.rows["norms"]:
        if row["step"]:
            row["applied"] /= 16
    other_weights(made)


def clipped_late(made: Draft) -> None:
    unclipped(made)
    made.header["observed"] = {"gradients_changed_after_update": [Observation(step=1)]}


def another_order(made: Draft) -> None:
    """Drawn from the global generator, whose state it advances, and trained in that order."""
    made.header["settings"]["loader.sampler"] = "the global generator"
    for row in made.rows["micro_batches"]:
        row["sample_ids"] = [(row_id * 7 + 3) % 24 for row_id in row["sample_ids"]]
        row["batch_content"] ^= 1
        row["loss"] += 0.125
    scale_gradients(made, 1.01)
    other_weights(made)


def never_scheduled(made: Draft) -> None:
    """Its scheduler would lower the rate, and is never called."""
    made.header["settings"]["schedule"] = {"steps": STEPS, "sum": 1.0, "at": {"1": 1.0, "6": 0.1}}
    for row in made.rows["steps"]:
        row["learning_rate"] = [5e-5]
    other_weights(made, step=2)


def one_order(made: Draft) -> None:
    rows = made.rows["micro_batches"]
    for row, again in zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True):
        again["sample_ids"] = row["sample_ids"]
        again["batch_content"] ^= 1


def evaluated(made: Draft) -> None:
    for row in made.rows["circumstances"]:
        if (row["step"], row["micro_batch"]) == (4, 1):
            row["passes_before"] = 2
    for row in made.rows["micro_batches"]:
        if row["step"] >= 4:
            row["rng"] ^= 1
            row["loss"] += 0.25


def no_known_signature(made: Draft) -> None:
    """The weights of one tensor differ, and no evidence explains it."""
    made.tensor(3, TENSORS[1])["weight"] ^= 1
    made.step(3)["weights"] ^= 1


TYPICAL: dict[str, tuple[Callable[[Draft], None], list[str]]] = {
    "loss-not-divided": (not_divided, ["loss-scaled"]),
    "left-to-the-model": (left_to_the_model, ["accumulation-not-averaged"]),
    "decayed-by-default": (decayed_by_default, ["weight-decay-default"]),
    "unclipped": (unclipped, ["hidden-clip"]),
    "clipped-elsewhere": (clipped_elsewhere, ["clip-norm-differs"]),
    "clipped-while-scaled": (clipped_while_scaled, []),
    "clipped-after-the-update": (clipped_late, ["clip-after-step"]),
    "another-order": (another_order, ["sampler-differs"]),
    "never-scheduled": (never_scheduled, ["schedule-never-steps"]),
    "one-order-for-all-epochs": (one_order, ["same-order-every-epoch"]),
    "evaluated-during-training": (evaluated, ["eval-consumes-rng"]),
    "no-known-signature": (no_known_signature, []),
}


def explained(folder: Path, spoil: Callable[[Draft], None]) -> Comparison:
    """The comparison of a spoiled candidate with a sound reference."""
    candidate = evident(**{"loader.sampler": "a generator of its own, seed 42"})
    reference = evident(**{"loader.sampler": "a generator of its own, seed 42"})
    spoil(candidate)
    return compare_drafts(folder, reference, candidate)


@pytest.mark.parametrize("name", TYPICAL)
def test_a_typical_difference_is_explained_by_this_text(name: str, tmp_path: Path) -> None:
    """The summary, what differs, the cause with its numbers, and the remedy."""
    spoil, expected = TYPICAL[name]
    found = explained(tmp_path, spoil)
    assert expected == [cause.id for cause in found.causes]

    lines = [sentence(found), *reasons(found)]
    lines += [
        f"Setting {setting.name}: reference {setting_text(setting.reference)}, "
        f"candidate {setting_text(setting.candidate)}"
        for setting in found.settings
    ]
    text = "\n".join(lines) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == text


def test_runs_that_are_equal_have_no_cause(tmp_path: Path) -> None:
    """The control: with all evidence recorded, equal runs have no cause."""
    found = explained(tmp_path, lambda _made: None)
    assert ("identical", (), ()) == (found.outcome, found.causes, found.settings)


def test_a_setting_without_effect_is_reported_and_is_no_divergence(tmp_path: Path) -> None:
    """Two runs with different settings may compute the same values; they are identical."""

    def more_workers(made: Draft) -> None:
        made.header["settings"]["loader.num_workers"] = 2

    found = explained(tmp_path, more_workers)
    assert ("identical", None) == (found.outcome, found.first_divergence)
    assert ["loader.num_workers"] == [setting.name for setting in found.settings]
    assert ["config"] == [stage.stage for stage in found.stages if stage.differing]


@pytest.mark.parametrize("name", ["weights.dtype", "environment.ACCELERATE_MIXED_PRECISION"])
def test_a_decisive_setting_is_the_first_divergence(name: str, tmp_path: Path) -> None:
    """The type of the weights and an environment variable precede all values."""

    def overrule(made: Draft) -> None:
        made.header["settings"][name] = {"bfloat16": 3} if "dtype" in name else "bf16"
        other_weights(made)

    first = explained(tmp_path, overrule).first_divergence
    assert first is not None
    assert (0, "config") == (first.step, first.stage)


def test_a_consequence_is_distinguished_from_an_independent_difference(tmp_path: Path) -> None:
    """Weights follow from the learning rates; the order of the rows is independent."""

    def two_faults(made: Draft) -> None:
        never_scheduled(made)
        one_order(made)

    stages = {stage.stage: stage for stage in explained(tmp_path, two_faults).stages}
    assert "learning_rate" == stages["weights"].follows
    assert stages["learning_rate"].follows is None
    assert stages["data_order"].follows is None
    assert "data_order" == stages["batch_content"].follows
    assert 4 == stages["data_order"].first.step  # type: ignore[union-attr]  # it differs
    assert 2 == stages["learning_rate"].first.step  # type: ignore[union-attr]  # it differs


@pytest.mark.parametrize("factor", [1.5, 2.01, 0.75])
def test_a_factor_that_is_not_the_window_has_no_cause(factor: float, tmp_path: Path) -> None:
    """A window of 2 explains a factor of 2 and no other factor."""
    found = explained(tmp_path, lambda made: scale_gradients(made, factor))
    assert [] == [cause.id for cause in found.causes]
    assert found.first_divergence is not None
    assert f"differ by one factor, {factor:g} (" in found.first_divergence.detail


@pytest.mark.parametrize("observed", [{}, {"loss_scaled": [Observation(step=1, value=4.0)]}])
def test_the_windows_factor_needs_a_loss_to_match(
    observed: dict[str, list[Observation]], tmp_path: Path
) -> None:
    """The control: gradients are doubled, but no loss is twice its mean."""

    def doubled(made: Draft) -> None:
        scale_gradients(made, 2.0)
        made.header["observed"] = observed

    assert () == explained(tmp_path, doubled).causes


def test_every_step_of_the_draft_is_clipped_to_one_norm() -> None:
    """By hand: the norms 3, 4 and 12 have the total norm 13, so step 1 is scaled by 1/13."""
    rows = [row for row in evident().rows["norms"] if row["step"] == 1]
    assert [3 / 13, 4 / 13, 12 / 13] == pytest.approx([row["applied"] for row in rows])
    assert STEPS * len(TENSORS) + len(TENSORS) == len(evident().rows["norms"])
