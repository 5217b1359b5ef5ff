"""The rules that the plain loop writes out are those of the libraries."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import get_scheduler
from transformers.trainer_pt_utils import LengthGroupedSampler

from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.recipe import Recipe
from harness.training.loops._plain.batches import LengthGrouped, windows
from harness.training.loops._plain.schedule import schedule
from tests.support.in_process import train_in_process
from tests.support.small_runs import small_case, write_pairs


@pytest.mark.parametrize("num_steps", [1, 7, 22, 1377])
@pytest.mark.parametrize("warmup", [{}, {"warmup_steps": 5}, {"warmup_ratio": 0.25}])
@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_the_schedule_is_that_of_the_library_bit_for_bit(
    shape: str, warmup: dict[str, float], num_steps: int
) -> None:
    """At every step the learning rate is the float that `get_scheduler` sets."""
    recipe = Recipe(lr_schedule=shape, **warmup)
    warmup_steps = recipe.warmup_steps or -int(-recipe.warmup_ratio * num_steps // 1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    name = "constant_with_warmup" if shape == "constant" else shape
    library = get_scheduler(name, optimizer, warmup_steps, num_steps)
    for step in range(num_steps):
        expected = optimizer.param_groups[0]["lr"]
        assert expected == recipe.learning_rate * schedule(recipe, step, num_steps), step
        optimizer.step()
        library.step()


def test_another_warm_up_is_another_schedule() -> None:
    """Control of the test above: one more step of warm-up changes the rate."""
    one, two = Recipe(warmup_steps=5), Recipe(warmup_steps=6)
    assert schedule(one, 3, 22) != schedule(two, 3, 22)


@pytest.mark.parametrize("rows", [3, 26, 100, 1000])
def test_length_groups_are_those_of_the_library(rows: int) -> None:
    """The same seed gives the same order, and another seed another order."""
    torch.manual_seed(0)
    texts = [torch.zeros(int(length)) for length in torch.randint(1, 60, (rows,))]
    recipe = Recipe(per_device_batch_size=4, gradient_accumulation_steps=2)
    orders = []
    for seed in (1, 2):
        library = LengthGroupedSampler(8, lengths=[len(text) for text in texts])
        torch.manual_seed(seed)
        expected = list(library)
        torch.manual_seed(seed)
        assert expected == list(LengthGrouped(texts, recipe))
        orders.append(expected)
    assert sorted(orders[0]) == list(range(rows))
    assert rows == 3 or orders[0] != orders[1]  # three rows have few orders


def test_a_window_holds_the_micro_batches_of_one_update() -> None:
    """Seven micro-batches, three per update: windows of 3, 3 and 1."""
    batches = [{"labels": torch.tensor([number])} for number in range(7)]
    sizes = [len(window) for window in windows(batches, Recipe(gradient_accumulation_steps=3))]
    assert [3, 3, 1] == sizes


def trained(folder: Path, **settings: object) -> RunRecord:
    """The record of the plain loop after four updates on a few rows in this process."""
    data = write_pairs(folder / "data", train=16, validation=8)
    spec = registry.run_spec(small_case(data, **settings), "plain")
    return train_in_process(spec, folder / "record", steps_expected=4)


@pytest.mark.slow
@pytest.mark.parametrize(("flavour", "waits"), [("for_loop", True), ("fused", False)])
def test_an_overflow_in_fp16_skips_the_update(
    flavour: str, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients scaled beyond fp16 move no weight; the schedule waits where that is noticed.

    On a CPU, where the harness refuses fp16, for the sake of the loop's own arithmetic.
    """
    far = partial(torch.amp.GradScaler, init_scale=2.0**100)
    monkeypatch.setattr(torch.amp, "GradScaler", far)
    overflowed = trained(tmp_path, precision="fp16", optimizer_flavour=flavour)
    rates = [rate for (rate,) in overflowed.steps["learning_rate"].to_pylist()]
    if waits:  # the optimizer was never called
        assert [] == rates
        return
    weights = overflowed.steps["weights"].to_pylist()
    assert {int(overflowed.header.initial_weights or "", 16)} == set(weights)
    assert 4 == len(set(rates))


@pytest.mark.slow
def test_fp16_trains_without_an_overflow(tmp_path: Path) -> None:
    """Control: at the usual scale weights change, and gradients are those of the scaled loss."""
    half = trained(tmp_path / "half", precision="fp16")
    full = trained(tmp_path / "full")
    assert 4 == len(set(half.steps["weights"].to_pylist()))
    ratio = half.steps["grad_norm"][0].as_py() / full.steps["grad_norm"][0].as_py()
    assert ratio == pytest.approx(65536, rel=0.02)
