"""Which calls show the optimizers of a program."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from harness.tracing.attach.notice import Notice

Seen = list[nn.Module | None]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """The modules whose calls showed an optimizer."""
    found: Seen = []
    notice = Notice(lambda optimizers, called, event: found.append(called), nullcontext)
    notice.install()
    yield found
    notice.remove()


def test_a_module_is_not_taken_for_one_that_is_gone(seen: Seen) -> None:
    """Python gives the place of an object in memory to a later one."""
    waiting = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)  # keeps the calls noticed
    parameters = list(nn.Linear(2, 1).parameters())
    own = torch.optim.SGD(parameters, lr=0.1)
    others = [nn.Linear(2, 1) for _ in range(200)]
    for other in others:
        other(torch.ones(1, 2))
    places = {id(each) for each in others}
    others.clear()
    del other
    gc.collect()
    later: list[nn.Linear] = []
    while not later or id(later[-1]) not in places:
        if len(later) == 20_000:
            pytest.skip("no memory was used again")
        later.append(nn.Linear(2, 1))
    model = later[-1]
    model.weight, model.bias = parameters
    model(torch.ones(1, 2))
    assert [model] == seen
    del waiting, own


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_pass_that_traces_a_model_shows_nothing(seen: Seen) -> None:
    """Hooks that come while `torch.jit.trace` records would make its own check fail."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    during: list[int] = []

    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            during.append(len(seen))
            return x

    model.append(Looks())
    torch.jit.trace(model, torch.ones(4, 2), check_trace=False)
    assert [0] == during
    model(torch.ones(4, 2))
    assert [model] == seen
    del optimizer
