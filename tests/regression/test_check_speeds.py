"""`harness check` on the command line: planted changes of speed, with made-up measurements."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.regression.baseline import Baseline, baseline_path, read, write
from tests.support.check_world import CASE, World
from tests.support.made_up_runs import timed


def test_ten_percent_slower_in_one_loop(world: World) -> None:
    """Two measurements agree: exit code 1, and that loop changed."""
    world.accept()
    world.measurements = [timed(loop=1.1, seed=1), timed(loop=1.1, seed=2)]
    assert 1 == world.check()
    assert {("trainer", "step_time_ratio")} == world.listed("regressed")
    assert 2 == world.report["gate"]["measurements"]
    assert "trainer itself changed" in world.words("step_time_ratio")
    assert "" == world.report["gate"]["moved_together"]


def test_ten_percent_slower_in_all_loops(world: World) -> None:
    """No verdict: all loops changed alike, but their time of another hour is not judged."""
    world.accept()
    world.measurements = [timed(code=1.1, seed=1), timed(code=1.1, seed=2)]
    assert 4 == world.check()
    assert ("plain", "step_time") in world.listed("inconclusive")
    assert set() == world.listed("regressed")
    assert "all loops changed alike" in world.report["gate"]["moved_together"]
    assert "a library" in world.output


def test_ten_percent_faster_in_one_loop_is_measured_twice(world: World) -> None:
    """An improvement needs the same evidence as a regression."""
    world.accept()
    world.measurements = [timed(loop=0.9, seed=1), timed(loop=0.9, seed=2)]
    assert 0 == world.check()
    assert {("trainer", "step_time_ratio")} == world.listed("improved")
    assert 2 == world.report["gate"]["measurements"]


def test_faster_in_the_first_measurement_only_is_no_improvement(world: World) -> None:
    """And no slowdown either: the check passes."""
    world.accept()
    world.measurements = [timed(loop=0.9, seed=1), timed(seed=2)]
    assert 0 == world.check()
    assert set() == world.listed("improved")
    assert ("trainer", "step_time_ratio") in world.listed("unchanged")
    assert any(
        "the two measurements disagree" in i["sentence"] for i in world.report["gate"]["items"]
    )


def test_a_machine_that_is_slower_today_is_no_regression(world: World) -> None:
    """The yardstick shows it."""
    world.accept()
    world.measurements = [timed(machine=1.1, seed=1)]
    assert 0 == world.check()
    assert "the cause is the machine" in world.output


def test_slower_in_the_first_measurement_only_is_no_verdict(world: World) -> None:
    """Exit code 4."""
    world.accept()
    world.measurements = [timed(loop=1.1, seed=1), timed(seed=2)]
    assert 4 == world.check()
    assert ("trainer", "step_time_ratio") in world.listed("inconclusive")


@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0])
def test_nan_in_samples_is_never_green(value: float, world: World) -> None:
    """Nor a duration of a clock that was set back."""
    world.accept()
    sessions = timed(seed=1)
    block = replace(sessions[0].blocks[0], wall_s=value)
    first = replace(sessions[0], blocks=(block, *sessions[0].blocks[1:]))
    world.measurements = [[first, *sessions[1:]]]
    assert 2 == world.check()
    assert "a time is a positive number of seconds" in world.output


def test_speeds_that_the_baseline_lacks_are_missing(world: World) -> None:
    """Unless they were not asked for."""
    path = world.accept()
    baseline: Baseline = read(path).model_copy(update={"speeds": None, "ratios": {}})
    write(baseline, baseline_path(world.baselines, CASE, baseline.key))
    assert 4 == world.check()
    assert ("", "step_time_ratio") in world.listed("missing")
    (world.folder / "out").rename(world.folder / "before")
    assert 0 == world.check("--exact-only")


def test_ratios_to_another_loop_are_not_comparable(world: World) -> None:
    """The remedy is the order of --loops; nothing is measured in vain."""
    world.accept()
    world.measurements = []
    assert 4 == world.check("--loops", "trainer,plain")
    assert ("trainer", "step_time_ratio") in world.listed("not_comparable")
    sentences = [item["sentence"] for item in world.report["gate"]["items"]]
    assert any(sentence.endswith("name plain first in --loops") for sentence in sentences)
