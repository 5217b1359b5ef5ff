"""Gradients that a closure clips are told as those that another loop clips before its update."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.comparison.compare import compare
from harness.comparison.factors import norms_at, update_detail
from harness.tracing.probe import TraceProbe
from tests.tracing.test_any_training import loss_of, net, recorded

NORM = 0.01


def in_closure(probe: TraceProbe) -> None:
    """As Lightning does: the update zeroes, goes backward and clips by itself."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    probe.watch(model, optimizer)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NORM)
        return loss

    for _ in range(3):
        optimizer.step(closure)


def before_the_update(probe: TraceProbe, clips: bool = True) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    probe.watch(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model).backward()
        if clips:
            torch.nn.utils.clip_grad_norm_(model.parameters(), NORM)
        optimizer.step()


def test_a_closure_that_clips_equals_a_loop_that_clips(tmp_path: Path) -> None:
    one, two = recorded(tmp_path / "a", before_the_update), recorded(tmp_path / "b", in_closure)
    assert "" == update_detail(one, two, 1)
    norms = [norms_at(record, 2, "applied") for record in (one, two)]
    assert norms[0] == pytest.approx(norms[1])
    assert compare(one, two, ("loop", "closure")).first_divergence is None


def test_a_closure_that_clips_differs_from_a_loop_that_does_not(tmp_path: Path) -> None:
    """Control: the sentence names the run that clips."""
    one = recorded(tmp_path / "a", lambda probe: before_the_update(probe, clips=False))
    two = recorded(tmp_path / "b", in_closure)
    found = compare(one, two, ("loop", "closure"))
    assert found.first_divergence is not None
    assert (1, "weights") == (found.first_divergence.step, found.first_divergence.stage)
    expected = "before the update the reference does not change its gradients, the candidate scales"
    assert found.first_divergence.detail.startswith(expected)
