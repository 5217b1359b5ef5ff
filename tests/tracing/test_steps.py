"""Optimizer steps that fail, and steps inside steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.tracing.probe import TraceProbe
from tests.tracing.test_any_training import loss_of, net, recorded


class Failing(torch.optim.SGD):
    """Fails at its second step."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        if self.steps == 2:
            raise FloatingPointError("planted")
        return super().step(closure)


def train(probe: TraceProbe, model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    probe.watch(model, *optimizers)
    for _ in range(5):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(model).backward()
        for optimizer in optimizers:
            try:
                optimizer.step()
            except FloatingPointError:
                continue


def test_steps_are_counted_after_one_that_failed(tmp_path: Path) -> None:
    """The script catches the error and goes on: four updates of five, with their losses."""

    def failing(probe: TraceProbe) -> None:
        model = net()
        train(probe, model, Failing(model.parameters(), lr=0.1))

    record = recorded(tmp_path, failing)
    assert (4, None) == (record.header.steps, record.header.probe_fault)
    assert [1, 2, 2, 3, 4] == record.micro_batches["step"].to_pylist()


def test_a_failed_step_of_one_optimizer_does_not_hide_those_of_another(tmp_path: Path) -> None:
    def failing(probe: TraceProbe) -> None:
        model = net()
        one = Failing(model[0].parameters(), lr=0.1)
        other = torch.optim.SGD(model[2].parameters(), lr=0.1)
        train(probe, model, one, other)

    record = recorded(tmp_path, failing)
    assert [("Failing", 4), ("SGD", 5)] == [
        (one.rule, one.steps) for one in record.header.optimizers
    ]
    assert 5 == record.header.steps


@pytest.mark.parametrize("hooked", [False, True])
def test_a_step_inside_a_step_is_part_of_it(hooked: bool, tmp_path: Path) -> None:
    """`super().step()` is noticed too, once an optimizer of the base class was made."""

    class Outer(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    def nested(probe: TraceProbe) -> None:
        model = net()
        if hooked:
            torch.optim.SGD(net().parameters(), lr=0.1)
        train(probe, model, Outer(model.parameters(), lr=0.1))

    assert 5 == recorded(tmp_path, nested).header.steps
