"""Does each loop repeat itself? Otherwise a difference between two loops means nothing."""

from __future__ import annotations

import pytest

from benchmarks.cases import CASES
from benchmarks.conftest import LOOPS, Runs
from harness.report.text.summary import sentence


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", CASES)
def test_a_loop_repeats_itself(case: str, loop: str, runs: Runs) -> None:
    """Two runs of one loop in two processes are identical, bit for bit."""
    found = runs.comparison(case, loop, f"{loop}-2")
    assert "identical" == found.outcome, (sentence(found), found.doubts)
