"""Is training still as it was accepted? The regression check as pytest items, also for JUnit.

    pytest benchmarks/test_regression.py --baseline DIR

Each case with a baseline in DIR is checked once. Each loop has an item in each tier. An unknown
result fails as well: unknown is never green.
"""

from __future__ import annotations

from typing import get_args

import pytest

from benchmarks.cases import CASES
from benchmarks.conftest import LOOPS, Checks
from harness.results.regression import Tier

_GREEN = ("unchanged", "improved")


@pytest.mark.parametrize("tier", [tier for tier in get_args(Tier) if tier != "baseline"])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", CASES)
def test_a_loop_is_as_it_was_accepted(case: str, loop: str, tier: Tier, checks: Checks) -> None:
    """No item of this loop regressed, and none is unknown."""
    items = [item for item in checks.of(case).items if item.tier == tier and item.loop == loop]
    assert items, f"no item of {loop} was compared with the baseline: see the item of the case"
    assert [] == [f"{item.listed}: {item.sentence}" for item in items if item.listed not in _GREEN]


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_comparable_with_its_baseline(case: str, checks: Checks) -> None:
    """The baseline has this machine class and task, and no loop is missing."""
    items = [item for item in checks.of(case).items if item.tier == "baseline" or not item.loop]
    assert [] == [f"{item.listed}: {item.sentence}" for item in items if item.listed not in _GREEN]
