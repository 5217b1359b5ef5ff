"""Turns are balanced, and long enough."""

from collections import Counter

import pytest

from harness.benchmark.schedule import orders, rounds_that_fit, steps_per_turn


@pytest.mark.parametrize("arms", [2, 3, 4, 5])
def test_each_arm_has_each_position_equally_often(arms: int) -> None:
    """After any whole number of squares, each arm had each position equally often."""
    found = orders(arms, 3 * arms, seed=7)

    for rounds in (arms, 2 * arms, 3 * arms):
        seen = Counter((place, arm) for order in found[:rounds] for place, arm in enumerate(order))
        assert {rounds // arms} == set(seen.values())
        assert arms**2 == len(seen)


def test_the_order_is_another_one_by_seed_and_the_same_by_the_same() -> None:
    """Sessions with other seeds have another order; the same seed gives the same order."""
    assert orders(4, 8, seed=1) == orders(4, 8, seed=1)
    assert orders(4, 8, seed=1) != orders(4, 8, seed=2)
    assert orders(4, 8, seed=1)[:4] != orders(4, 8, seed=1)[4:]


def test_a_turn_lasts_long_enough_for_the_fastest_arm() -> None:
    """Six steps of 50 ms are 0.3 s; one more step is not timed. A long step is one block."""
    assert 7 == steps_per_turn({"plain": 0.05, "trainer": 0.06})
    assert 2 == steps_per_turn({"plain": 4.0})


def test_rounds_are_a_multiple_of_the_arms() -> None:
    """25 s hold 12 rounds of 2 s, a multiple of 4 arms; each arm has each position once at least.

    No session has more than 40 rounds.
    """
    assert 12 == rounds_that_fit(4, 2.0, 25.0)
    assert 4 == rounds_that_fit(4, 2.0, 1.0)
    assert 40 == rounds_that_fit(4, 0.1, 1000.0)
