"""The meters of a bench: peak of allocated memory, and the yardstick."""

from __future__ import annotations

import random
import time

import torch

from harness.benchmark.child.meters import Allocated
from harness.benchmark.child.yardstick import Yardstick

CPU = torch.device("cpu")


def peak(elements: int) -> int:
    """Peak bytes of work that holds `elements` floats at most, and half of them after."""
    meter = Allocated(CPU)
    with meter.counting():
        kept = torch.ones(elements // 2)
        more = torch.ones(elements - elements // 2)
        del more
        found = meter.read(1)
        del kept
    return int(found["peak_allocated_bytes"])


def test_the_peak_is_exact() -> None:
    """Four bytes per float at the peak; 2% more floats are 2% more bytes; always the same."""
    once = peak(1_000_000)
    assert 4_000_000 == once
    assert once == peak(1_000_000)
    assert 4_080_000 == peak(1_020_000)


def test_the_yardstick_draws_no_numbers_and_takes_time() -> None:
    """Random generators do not change; the measured time is at most the elapsed time."""
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
