"""The evidence of causes as sentences: number, units and the right run, also for a count of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.results.record import Observation
from tests.support.evidence import evident
from tests.support.records import TENSORS, Draft, compare_drafts

VECTORS = ["layer.bias", "LayerNorm.weight"]


def differ_in_weights(made: Draft) -> None:
    """Every weight differs from step 1 on."""
    for row in (*made.rows["steps"], *made.rows["tensors"]):
        if row["step"]:
            row["weights" if "weights" in row else "weight"] ^= 1


def decays(*more: str) -> dict[str, list[str]]:
    """Weight decays of a model; `more` are decayed too."""
    spared = [name for name in VECTORS if name not in more]
    return {"0.0": spared, "0.01": ["a.weight", *more]}


SETTINGS: list[tuple[str, str, Any, Any, str]] = [
    (
        "thread-count",
        "flags.threads",
        1,
        2,
        "candidate computes with 2 threads, reference with 1 thread; they add in another order",
    ),
    (
        "attention-kernel",
        "model.attention",
        "sdpa",
        "eager",
        "candidate uses the attention kernel eager, reference uses sdpa",
    ),
    (
        "optimizer-flavour",
        "optimizer.flavour",
        "fused",
        "foreach",
        "candidate uses torch's foreach implementation of the update and reference the fused one; "
        "they round differently",
    ),
    (
        "parameter-frozen",
        "weights.frozen",
        [],
        ["layer.weight"],
        "candidate computes no gradient for layer.weight; reference trains it",
    ),
    (
        "parameter-frozen",
        "optimizer.without",
        ["layer.weight", "layer.bias"],
        [],
        "reference does not pass to its optimizer 2 parameters, first layer.weight; candidate "
        "trains them",
    ),
    (
        "bias-and-norm-decayed",
        "optimizer.weight_decay",
        decays(),
        decays("layer.bias"),
        "candidate decays layer.bias by 0.01; reference does not decay it",
    ),
    (
        "bias-and-norm-decayed",
        "optimizer.weight_decay",
        decays(*VECTORS),
        decays(),
        "reference decays 2 biases and norms (first layer.bias) by 0.01; candidate does not decay "
        "them",
    ),
    (
        "dtype-auto",
        "weights.dtype",
        {"float32": 3},
        {"bfloat16": 3},
        "candidate trains weights of type bfloat16 (the type of its checkpoint) and loses small "
        "updates; reference trains float32",
    ),
]


@pytest.mark.parametrize(("cause", "name", "one", "two", "expected"), SETTINGS)
def test_a_setting_is_described_with_both_values(
    cause: str, name: str, one: Any, two: Any, expected: str, tmp_path: Path
) -> None:
    """The run that is named first is the one with the fault."""
    reference, candidate = evident(**{name: one}), evident(**{name: two})
    for run in (reference, candidate):  # which a run must have, to train it
        known = run.header["parameter_names"]
        run.header["parameter_names"] = tuple(dict.fromkeys((*known, "layer.weight", *VECTORS)))
    if name == "weights.dtype":
        candidate.header["settings"]["weights.declared_dtype"] = "bfloat16"
    differ_in_weights(candidate)
    found = compare_drafts(tmp_path, reference, candidate)
    assert {cause: expected} == {one.id: one.evidence for one in found.causes if one.id == cause}


@pytest.mark.parametrize(("passes", "words"), [(1, "1 batch"), (3, "3 batches")])
def test_batches_of_an_evaluation_are_counted(passes: int, words: str, tmp_path: Path) -> None:
    reference, candidate = evident(), evident()
    for row in candidate.rows["circumstances"]:
        if row["step"] == 4:
            row["passes_before"] = passes
    for row in candidate.rows["micro_batches"]:
        if row["step"] >= 4:
            row["rng"] ^= 1
    (cause,) = compare_drafts(tmp_path, reference, candidate).causes
    expected = (
        f"before step 4 candidate evaluates {words}, reference none; the random generators diverge "
        "there"
    )
    assert ("eval-consumes-rng", expected) == (cause.id, cause.evidence)


def test_leftover_gradients_are_described(tmp_path: Path) -> None:
    """By hand: the first update used gradients of norm 1, which step 2 begins with."""
    reference, candidate = evident(), evident()
    candidate.header["observed"] = {"gradients_left_over": [Observation(step=2, value=1.0)]}
    for row in (*candidate.rows["tensors"], *candidate.rows["steps"]):
        if row["step"] == 2:
            row["gradient" if "tensor" in row else "gradients"] ^= 1
    (cause,) = compare_drafts(tmp_path, reference, candidate).causes
    expected = (
        "candidate begins step 2 with the gradients of step 1; reference begins each step without "
        "gradients"
    )
    assert ("forgot-zero-grad", expected) == (cause.id, cause.evidence)


def test_a_loss_that_is_only_logged_is_described(tmp_path: Path) -> None:
    made = [evident(), evident()]
    for draft, loss in zip(made, (0.5, 0.25), strict=True):
        draft.rows["logged"] = [{"step": 3, "loss": loss}]
    (cause,) = compare_drafts(tmp_path, *made).causes
    expected = (
        "at step 3 candidate logs a loss of 0.25 and reference one of 0.5, computed from equal "
        "values"
    )
    assert ("wrong-loss-logged", expected) == (cause.id, cause.evidence)


def test_an_initial_head_is_described(tmp_path: Path) -> None:
    reference, candidate = evident(), evident()
    candidate.header["initial_weights"] = "0" * 16
    candidate.tensor(0, TENSORS[1])["weight"] ^= 1
    (cause,) = compare_drafts(tmp_path, reference, candidate).causes
    expected = (
        f"only initial weights of the head differ ({TENSORS[1]}); both runs drew them at random"
    )
    assert ("head-drawn-before-seed", expected) == (cause.id, cause.evidence)
