"""Digests of tensors: when they are read, and what may not change them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor

from harness.results.levels import NOT_RECORDED
from harness.results.record import RunRecord
from harness.spec.recipe import DETAILS, Detail
from harness.tracing import tensors
from harness.tracing.sketch import Sketches
from tests.support.watched_model import Watched, batch


def test_sketches_are_those_of_the_weights_at_each_step(tmp_path: Path) -> None:
    """If requested: the initial weights at step 0, then those after each update."""
    watched = Watched(tmp_path / "asked", sketch=True)
    weights = [watched.model.head.bias.detach().clone()]
    for one, two in ((0, 1), (2, 3)):
        watched.backward(one, two)
        watched.step()
        weights.append(watched.model.head.bias.detach().clone())
    rows = [
        row
        for row in watched.record().trace("sketches").to_pylist()
        if row["tensor"] == "head.bias"
    ]
    assert [0, 1, 2] == [row["step"] for row in rows]
    size = str(weights[0].numel())  # tensors of one size have the same signs, whatever their names
    assert [Sketches().of(size, weight) for weight in weights] == [row["sketch"] for row in rows]
    assert rows[0]["sketch"] != rows[2]["sketch"]


def test_sketches_are_absent_by_default(tmp_path: Path) -> None:
    """Control of the test above."""
    watched = Watched(tmp_path)
    watched.backward(0, 1)
    watched.step()
    assert "sketches" not in watched.record().header.traces


def test_gradients_read_after_the_backward_pass_are_those_of_each_tensor(tmp_path: Path) -> None:
    """Several processes read all of them after the reduction; one process reads the same."""
    each, together = Watched(tmp_path / "each"), Watched(tmp_path / "together", world_size=2)
    for watched in (each, together):
        torch.manual_seed(2)
        watched.backward(2, 0)
        watched.backward(3, 1)
        watched.step()
        watched.backward(1, 1)
        watched.step()
    one, two = each.record(), together.record()
    assert one.steps.equals(two.steps)
    assert one.tensors.equals(two.tensors)
    assert one.micro_batches.equals(two.micro_batches)
    assert 2 == len(set(one.steps["gradients"].to_pylist()))


def trained(watched: Watched) -> RunRecord:
    """The record of three steps; the first has two micro-batches."""
    torch.manual_seed(2)
    watched.backward(2, 0)
    for rows in ((3, 1), (1, 1), (0, 2)):
        watched.backward(*rows)
        torch.nn.utils.clip_grad_norm_(watched.model.parameters(), 0.1)
        watched.step()
    return watched.record()


@pytest.mark.parametrize("enough", [1, 1_000_000])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_reading_beside_the_training_gives_the_same_record(
    momentum: float, enough: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a second thread, per tensor or for all tensors at once."""
    at_once = trained(Watched(tmp_path / "at once", world_size=2, momentum=momentum))
    monkeypatch.setattr(tensors, "_MIN_ELEMENTS", enough)
    beside = trained(Watched(tmp_path / "beside", momentum=momentum))
    for name in ("steps", "tensors", "norms", "micro_batches"):
        assert at_once.trace(name).equals(beside.trace(name)), name
    assert 3 == len(set(beside.steps["optimizer_state"].to_pylist())) or not momentum


def test_weights_that_change_while_read_are_read_again(tmp_path: Path) -> None:
    """After a forward pass without a backward pass, as for a log, they may change."""
    records = []
    for late in (False, True):
        watched = Watched(tmp_path / str(late))
        for step in range(3):
            torch.manual_seed(step)
            average = partial(watched.model.head.weight.mul_, 0.5)
            with torch.no_grad():
                if not late:
                    average()
            watched.model(**batch(step))
            with torch.no_grad():
                if late:
                    time.sleep(0.05)  # by now they were read
                    average()
            watched.backward(step)
            watched.step()
        records.append(watched.record())
    assert records[0].tensors.equals(records[1].tensors)
    assert 3 == len(set(records[0].steps["weights"].to_pylist()))


@pytest.mark.parametrize("detail", DETAILS)
def test_a_detail_level_records_only_its_own_stages(detail: Detail, tmp_path: Path) -> None:
    """A lower level holds the same values as `full`; the rest is null, or its trace is absent."""
    full = trained(Watched(tmp_path / "full", momentum=0.9))
    lower = trained(Watched(tmp_path / "lower", momentum=0.9, detail=detail))
    assert full.micro_batches.equals(lower.micro_batches)
    for name in full.steps.column_names:
        left_out = name in NOT_RECORDED[detail]
        expected = [None] * 3 if left_out else full.steps[name].to_pylist()
        assert expected == lower.steps[name].to_pylist()
    assert (detail != "steps") == ("tensors" in lower.header.traces)
    assert (detail != "steps") == ("norms" in lower.header.traces)
    if detail == "weights":
        assert full.tensors["weight"].equals(lower.tensors["weight"])
        assert full.tensors["gradient"].equals(lower.tensors["gradient"])
        assert len(lower.tensors) == lower.tensors["optimizer_state"].null_count


def test_a_gradient_is_read_before_another_hook_changes_it(tmp_path: Path) -> None:
    """The probe's hook runs first and reads the gradient as autograd leaves it."""

    def zero(parameter: Tensor) -> None:
        cast(Tensor, parameter.grad).zero_()

    digests = []
    for changed in (False, True):
        watched = Watched(tmp_path / str(changed))
        for parameter in watched.model.parameters() if changed else ():
            parameter.register_post_accumulate_grad_hook(zero)
        torch.manual_seed(2)
        watched.backward(2, 0)
        watched.step()
        digests.append(watched.record().steps["gradients"].to_pylist())
    assert digests[0] == digests[1]


def test_an_update_that_changes_its_gradients_leaves_no_false_norm(tmp_path: Path) -> None:
    """A norm computed while the gradient changed is dropped; later norms are computed before."""
    watched = Watched(tmp_path)

    def zero(*_: Any) -> None:
        for parameter in watched.model.parameters():
            parameter.grad.zero_()

    watched.optimizer.register_step_pre_hook(zero)  # after the probe's own
    for rows in ((2, 0), (3, 1)):
        watched.backward(*rows)
        watched.step()
    applied = watched.record().norms.filter(pc.field("step") > 0)["applied"].to_pylist()
    assert [True] * 3 + [False] * 3 == [norm is None for norm in applied]
