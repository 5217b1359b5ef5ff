"""The noise band of a command applies only if its records show that it may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.comparison.compare import compare
from harness.comparison.noise.case_noise import CaseNoise
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec.case import Perturbation
from harness.spec.command import CommandSpec
from tests.support.noisy_records import NOISE, Values, noisy_draft, values
from tests.support.records import Draft

DRAWS = 6
ULP = 2.0**-23
Change = Callable[[Draft], object]


def command(
    folder: Path,
    name: str,
    seed: int | None,
    draw: int | None = None,
    spoil: Callable[[Values], object] | None = None,
    change: Change | None = None,
) -> RunRecord:
    """The record of a command, or of its draw with this number."""
    made = values(seed)
    if draw is not None:  # moved by one unit in the last place before the first step
        signs = np.random.default_rng(draw).choice([-1, 1], size=made.weights[:1].shape)
        made.weights += ULP * signs * made.weights[:1]
    if spoil is not None:
        spoil(made)
    run = noisy_draft(made, name)
    perturbation = Perturbation(draw=draw) if draw is not None else None
    spec = CommandSpec(
        name="train", command=("python", "train.py"), sketch=True, perturbation=perturbation
    )
    run.header |= {
        "spec": spec, "evaluations": (), "steps_expected": None,
        "settings": {"weights.dtype": {"float32": 3}},
    }  # fmt: skip
    for row in run.rows["micro_batches"]:
        row["sample_ids"] = row["task_loss"] = None
    if change is not None:
        change(run)
    return run.write(folder / name)


def judged(
    folder: Path,
    spoil: Callable[[Values], object] | None = None,
    drawn: Change | None = None,
    spoiled: Callable[[Values], object] | None = None,
    command_change: Change | None = None,
    candidate_change: Change | None = None,
) -> Comparison:
    """A pair of commands that differ by noise and by `spoil`, after its noise band.

    `drawn` and `spoiled` change the draws, the others the command and the candidate.
    """
    reference = command(folder, "reference", None, change=command_change)
    draws = [
        command(folder, f"draw-{n}", 100 + n, draw=n, change=drawn, spoil=spoiled)
        for n in range(1, DRAWS + 1)
    ]
    candidate = command(folder, "candidate", 7, spoil=spoil, change=candidate_change)
    found = compare(reference, candidate, ("reference", "candidate"))
    assert "different" == found.outcome
    return CaseNoise(reference, draws).apply(found, reference, candidate)


def test_a_pair_of_commands_is_within_noise(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert found.noise is not None
    assert ("within_noise", DRAWS) == (found.outcome, found.noise.draws)


def test_a_fault_in_a_pair_of_commands_is_different(tmp_path: Path) -> None:
    """Control: a shift of the loss that no single step shows."""

    def fault(made: Values) -> None:
        made.loss += 4 * NOISE

    assert "different" == judged(tmp_path, spoil=fault).outcome


def other_generator(run: Draft) -> None:
    for row in run.rows["micro_batches"]:
        row["rng"] += 1


def other_batch(run: Draft) -> None:
    run.rows["micro_batches"][3]["batch_content"] += 1


def other_rate(run: Draft) -> None:
    run.rows["steps"][5]["learning_rate"] = [2e-3]


def fails(run: Draft) -> None:
    run.header["status"] = "failed"


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (other_generator, "a draw repeats its command except for rounding (met another rng"),
        (other_batch, "(met another batch_content at step 4)"),
        (other_rate, "(met another learning_rate at step 6)"),
        (fails, "a noise band needs completed runs"),
    ],
)
def test_draws_that_do_not_repeat_the_command_make_no_band(
    drawn: Change, words: str, tmp_path: Path
) -> None:
    """The pair is inconclusive, and the reason is stated."""
    found = judged(tmp_path, drawn=drawn)
    assert "inconclusive" == found.outcome
    assert any(words in doubt for doubt in found.doubts), found.doubts


def drawn_anew(made: Values) -> None:
    made.weights += np.random.default_rng(0).normal(size=made.weights[:1].shape)


def not_moved(made: Values) -> None:
    made.weights += values(None).weights[:1] - made.weights[:1]


@pytest.mark.parametrize("spoiled", [drawn_anew, not_moved])
def test_draws_begin_one_unit_beside_the_command(
    spoiled: Callable[[Values], object], tmp_path: Path
) -> None:
    """Weights that are drawn without a seed, or a perturbation that was lost, make no band."""
    found = judged(tmp_path, spoiled=spoiled)
    assert "inconclusive" == found.outcome
    assert any("moved by one unit in the last place" in doubt for doubt in found.doubts)


def autocast(run: Draft) -> None:
    run.rows["circumstances"] = [
        {
            "step": row["step"], "micro_batch": 1, "training": True, "shape": [4], "labels": 1,
            "targets": 1, "passes_before": 0, "draws": True, "compute_dtype": "bfloat16",
            "inputs": ["x"], "input_digests": [1],
        }
        for row in run.rows["micro_batches"]
    ]  # fmt: skip


def with_dtype(stated: Any) -> Change:
    def change(run: Draft) -> None:
        run.header["settings"] = {"weights.dtype": stated}

    return change


@pytest.mark.parametrize(
    ("change", "met", "outcome"),
    [
        (autocast, "met bfloat16 in", "inconclusive"),
        (with_dtype(None), "met unknown in", "inconclusive"),
        # Weights of another type in one of the two are more than rounding.
        (with_dtype({"bfloat16": 3}), "met bfloat16 in", "different"),
        (with_dtype({"float32": 2, "float64": 1}), "met float64 in", "different"),
        (with_dtype("float32"), "met unknown in", "different"),
    ],
)
@pytest.mark.parametrize("where", ["command_change", "candidate_change"])
def test_only_arithmetic_in_float32_has_a_band(
    change: Change, met: str, outcome: str, where: str, tmp_path: Path
) -> None:
    """Lower precisions round by more than the draws do; a record without the fact shows nothing."""
    found = judged(tmp_path, **{where: change})  # type: ignore[arg-type]
    assert outcome == found.outcome
    assert any(met in doubt for doubt in found.doubts), found.doubts


def test_equal_weights_with_other_sketches_are_refused(tmp_path: Path) -> None:
    """Sketches of another version have other signs, and say nothing about a difference."""

    def other_signs(made: Values) -> None:
        made.weights *= np.random.default_rng(0).choice([-1, 1], size=made.weights[:1].shape)

    found = judged(tmp_path, spoil=other_signs)
    assert "inconclusive" == found.outcome
    assert any("equal weights have equal sketches" in doubt for doubt in found.doubts)


def test_the_noise_of_a_command_is_not_that_of_a_loop(tmp_path: Path) -> None:
    reference = command(tmp_path, "reference", None)
    loop = noisy_draft(values(7), "loop").write(tmp_path / "loop")
    found = CaseNoise(reference, []).apply(
        compare(reference, loop, ("reference", "loop")), reference, loop
    )
    assert "inconclusive" == found.outcome
    assert any("does not apply to the run of a loop" in doubt for doubt in found.doubts)
