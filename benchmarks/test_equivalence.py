"""Do the loops train the same model with one recipe?"""

from __future__ import annotations

import pytest

from benchmarks.cases import CASES
from benchmarks.conftest import LOOPS, Runs
from harness.report.text.summary import sentence


@pytest.mark.parametrize("loop", LOOPS[1:])
@pytest.mark.parametrize("case", CASES)
def test_a_loop_equals_the_plain_one(case: str, loop: str, runs: Runs) -> None:
    """Every recorded value of the loop equals that of the plain loop, bit for bit."""
    found = runs.comparison(case, "plain", loop)
    assert "identical" == found.outcome, (sentence(found), found.doubts)
