"""What a bench counts and times beside its turns: peak of allocated memory, and the yardstick."""

from __future__ import annotations

import random
import time

import torch

from harness.benchmark.child.meters import Allocated
from harness.benchmark.child.yardstick import Yardstick

CPU = torch.device("cpu")


def peak(elements: int) -> int:
    """Of a little work that holds so many floats at its worst moment, and half of them after."""
    meter = Allocated(CPU)
    with meter.counting():
        kept = torch.ones(elements // 2)
        more = torch.ones(elements - elements // 2)
        del more
        found = meter.read(1)
        del kept
    return int(found["peak_allocated_bytes"])


def test_the_peak_is_exact() -> None:
    """Four bytes a float, at the worst moment; 2% more is 2% more; and the same each time."""
    once = peak(1_000_000)
    assert 4_000_000 == once
    assert once == peak(1_000_000)
    assert 4_080_000 == peak(1_020_000)


def test_the_yardstick_draws_no_numbers_and_takes_time() -> None:
    """Generators are as they were; what it tells is not more than what passed."""
    torch.manual_seed(1)
    random.seed(1)
    states = torch.get_rng_state(), random.getstate()
    yardstick = Yardstick(CPU)
    began = time.perf_counter()
    took_s = yardstick()
    passed_s = time.perf_counter() - began
    assert 0 < took_s < passed_s
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
