"""How fast is each loop on each case? Measured once, in turns, and handed to pytest-benchmark.

    pytest benchmarks/test_throughput.py --benchmark-json=FILE

Each sample is the time of a step in one block. The samples are replayed through the interface of
pytest-benchmark, so that its tables, files and comparisons contain the measured times. It compares
two files by points. The verdicts here say which loop is faster, and how surely.
"""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import CASES
from benchmarks.conftest import LOOPS, Speeds
from harness.report.text.speeds import sentence
from harness.results.sessions import Block

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))


class ReplayingTimer:
    """A clock that advances by the next sample at every second reading."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._samples_s: list[float] = []
        self._running = False

    def load(self, samples_s: list[float]) -> None:
        """Replay these samples in order."""
        self._samples_s, self._running = list(samples_s), False

    def __call__(self) -> float:
        """The current time in seconds."""
        if self._running:
            self._now_s += self._samples_s.pop(0)
        self._running = not self._running
        return self._now_s


TIMER = ReplayingTimer()


@pytest.mark.benchmark(timer=TIMER, group="step, own time", disable_gc=False)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_step_time(
    case: str, device: str, loop: str, speeds: Speeds, benchmark: BenchmarkFixture
) -> None:
    """Every loop has timed blocks, and every step had rows."""
    report, sessions = speeds.of(case, device)
    blocks = [block for session in sessions for block in session.blocks if block.arm == loop]
    samples_s = [block.own_s / block.steps for block in blocks]
    if not samples_s:
        pytest.skip("not measured: no session fits into the budget; raise --bench-budget")
    TIMER.load(samples_s)
    benchmark.extra_info["steps"] = sum(block.steps for block in blocks)
    for arm in report.bench[case].arms if report.bench else ():
        if arm.name == loop:
            benchmark.extra_info |= arm.model_dump(mode="json", exclude={"overrides"})

    replay: Any = benchmark.pedantic
    replay(lambda: None, rounds=len(samples_s), iterations=1, warmup_rounds=0)

    assert all(_rows_as_steps(block) for block in blocks)


@pytest.mark.parametrize("loop", LOOPS[1:])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_timed_loops_compute_the_same(case: str, device: str, loop: str, speeds: Speeds) -> None:
    """No loop is timed against a loop that computes different values."""
    report, _ = speeds.of(case, device)
    (comparison,) = (one for one in report.comparisons if one.candidate == loop)
    if comparison.equality is None:
        pytest.skip(f"not compared: {comparison.doubts[0]}")
    assert "identical" == comparison.equality, sentence(comparison)


def _rows_as_steps(block: Block) -> bool:
    """Whether each step had rows."""
    return block.samples >= block.steps
