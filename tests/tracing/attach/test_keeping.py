"""How often the rows of a recording are set aside: often, but at a small share of the time."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from harness.spec.command import CommandSpec
from harness.tracing.attach.recording import Recording


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the module sees, in seconds; a test moves it."""
    now = [0.0]
    monkeypatch.setattr("harness.tracing.attach.recording.time.monotonic", lambda: now[0])
    return now


def kept_at(
    clock: list[float], folder: Path, monkeypatch: pytest.MonkeyPatch, cost_s: float, steps: int
) -> list[float]:
    """The times at which rows are set aside, with steps of 0.1 s."""
    spec = CommandSpec(name="a", command=("python", "train.py"), folder="/")
    one = Recording(folder, spec, lambda device: {})
    times: list[float] = []

    def keep(self: Any, folder: Path) -> None:
        times.append(round(clock[0], 3))
        clock[0] += cost_s

    monkeypatch.setattr(type(one._writer), "set_aside", keep)
    for step in range(1, steps + 1):
        clock[0] += 0.1
        one.before_step(step)
    return times


def test_rows_are_set_aside_every_half_second_if_that_costs_nothing(
    clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = kept_at(clock, tmp_path, monkeypatch, 0.0, 100)

    assert 0.2 == times[0]  # before the second step
    assert all(0.5 <= round(b - a, 3) <= 0.6 for a, b in itertools.pairwise(times))


def test_rows_are_set_aside_at_a_thousandth_of_the_time(
    clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 ms each time: every 10 s, after the first time, which does not count, and the second."""
    times = kept_at(clock, tmp_path, monkeypatch, 0.01, 500)

    assert 0.7 <= times[1] <= 0.9
    waits = [b - a for a, b in itertools.pairwise(times[1:])]
    assert len(waits) >= 4
    assert all(10.0 <= wait <= 10.2 for wait in waits)


def test_rows_wait_for_half_a_minute_at_most(
    clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second each time, which a thousandth of the time would not pay for in a quarter hour."""
    times = kept_at(clock, tmp_path, monkeypatch, 1.0, 1000)

    waits = [b - a for a, b in itertools.pairwise(times[1:])]
    assert waits
    assert all(30.0 <= wait <= 31.2 for wait in waits)
