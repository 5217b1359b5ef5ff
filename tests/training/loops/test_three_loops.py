"""The three loops are identical bit for bit; a fault is found at its step and stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.results.record import RunRecord
from tests.faults.mutations import path_of
from tests.support.small_runs import comparison, small_case, train, write_pairs

pytestmark = pytest.mark.slow

LOOPS = ["plain", "accelerated", "trainer"]

# Each recipe differs from the default in several fields, so few runs cover many fields.
RECIPES: dict[str, tuple[int, dict[str, Any]]] = {
    "course": (12, {}),
    "accumulated": (
        4,
        {
            # 8 batches an epoch: windows of 5 and of 3.
            "gradient_accumulation_steps": 5,
            "weight_decay": 0.1,
            "lr_schedule": "cosine",
            "warmup_steps": 2,
            "max_grad_norm": None,
            "optimizer_flavour": "for_loop",
            "learning_rate": 1e-3,
            "eval_every": 2,
            "per_device_batch_size": 6,
        },
    ),
    "workers": (
        12,
        {
            "num_workers": 2,
            "sampler": "sequential",
            "attention": "eager",
            "optimizer_flavour": "foreach",
            "lr_schedule": "constant",
            "extra_padding": 5,
            "data_seed": 7,
        },
    ),
    "global-order": (
        9,
        {
            "sampler": "global",
            "max_steps": 9,
            "decay_exclusions": "none",
            "weight_decay": 0.1,
            "max_grad_norm": 0.05,
            "betas": [0.8, 0.95],
            "eps": 1e-6,
            "padding": "max_length",
            "max_length": 48,
            "compile": "aot_eager",  # of one static shape, so it is translated once
        },
    ),
    "bf16": (
        6,
        {
            "precision": "bf16",
            "label_smoothing": 0.1,
            "sampler": "length_grouped",
            "gradient_accumulation_steps": 2,
            "frozen": "bert.embeddings",
            "eval_every": "epoch",
        },
    ),
    "sgd": (
        10,
        {
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "warmup_ratio": 0.25,
            "lr_schedule": "constant",
            "gradient_checkpointing": True,
            "drop_last": True,
            "eval_every": 4,  # of 12 rows, 8 at a time: an evaluation drops none
        },
    ),
}


@pytest.mark.parametrize(("steps", "recipe"), RECIPES.values(), ids=RECIPES)
def test_matched_loops_are_identical(steps: int, recipe: dict[str, Any], tmp_path: Path) -> None:
    """With one recipe and dropout on, every recorded value is the same in all loops."""
    # Whole batches alone where a model is compiled: each further shape is translated again.
    rows = {"train": 48, "validation": 16} if "compile" in recipe else {}
    case = small_case(write_pairs(tmp_path / "data", **rows), **recipe)
    records = train(case, LOOPS, tmp_path / "records")
    for candidate in LOOPS[1:]:
        found = comparison(records, "plain", candidate)
        assert ("identical", steps, ()) == (found.outcome, found.steps, found.doubts), found
        assert () == found.settings  # the settings do not differ either


def test_loops_diverge_if_the_collator_draws_and_one_prefetches(tmp_path: Path) -> None:
    """Without workers Accelerate's loader, which the Trainer uses, draws one batch early."""
    case = small_case(write_pairs(tmp_path / "data"), extra_padding=5)
    records = train(case, LOOPS, tmp_path / "records")
    first = comparison(records, "plain", "trainer").first_divergence
    assert first is not None
    assert (1, "rng") == (first.step, first.stage)
    assert "identical" == comparison(records, "accelerated", "trainer").outcome


def test_native_loops_diverge_at_their_first_different_convention(tmp_path: Path) -> None:
    """With native conventions, plain and Trainer diverge in the data order of the first step."""
    case = small_case(write_pairs(tmp_path / "data"))
    records = train(case, LOOPS, tmp_path / "records", conventions="native")
    for candidate, stage in (("trainer", "data_order"), ("accelerated", "learning_rate")):
        first = comparison(records, "plain", candidate).first_divergence
        assert first is not None
        assert (1, stage) == (first.step, first.stage)


FAULTS = {
    "forgot_zero_grad": (2, "gradients"),
    "forgot_train_mode": (1, "loss"),
    "same_order_every_epoch": (7, "data_order"),
    "schedule_off_by_one": (1, "learning_rate"),
    "sample_repeated": (3, "data_order"),
    "one_ulp_in_one_weight": (4, "weights"),
    "gradient_scaled_in_one_tensor": (2, "weights"),
}


@pytest.fixture(scope="module")
def faulty_records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunRecord]:
    """The plain loop and each faulty one on the same case."""
    folder = tmp_path_factory.mktemp("faulty")
    loops = ["plain", *(path_of(name) for name in FAULTS)]
    return train(small_case(write_pairs(folder / "data")), loops, folder / "records")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_at_its_step_and_stage(
    fault: str, faulty_records: dict[str, RunRecord]
) -> None:
    """Control: a loop with one fault diverges where the fault starts."""
    found = comparison(faulty_records, "plain", fault)
    first = found.first_divergence
    assert first is not None
    assert ("different", *FAULTS[fault]) == (found.outcome, first.step, first.stage)
    outside = fault == "one_ulp_in_one_weight"
    detail = "code outside the update changed weights of the candidate"
    assert outside == (first.detail == detail)


def test_the_plain_loop_repeats_itself(tmp_path: Path) -> None:
    """Two runs of one loop are identical, and with another seed they are not."""
    folder = write_pairs(tmp_path / "data")
    records = train(small_case(folder), ["plain"], tmp_path / "one")
    again = train(small_case(folder), ["plain"], tmp_path / "two", repeat=2)
    other = train(small_case(folder, seed=43), ["plain"], tmp_path / "three", repeat=3)
    everything = {**records, **again, **other}
    assert "identical" == comparison(everything, "plain", "plain-2").outcome
    assert "different" == comparison(everything, "plain", "plain-3").outcome
