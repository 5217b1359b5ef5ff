"""What does watching cost? Loops watched and not, in turns, by `harness bench`.

`pytest benchmarks/test_trace_cost.py -s --long --mrpc-data DIR --mrpc-model DIR`
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.conftest import chosen_case
from harness.benchmark.bench import bench_cases
from harness.benchmark.bench_case import BenchRequest
from harness.results.sessions import read_sessions
from studies.trace_cost import costs, watched_arms


@pytest.mark.long
def test_no_limit_of_what_watching_costs_is_broken(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """No ratio to the bare loop's own time lies wholly above its limit."""
    options = chosen_case(pytestconfig, "mrpc").options
    arms = watched_arms(Path(str(options["data"])), Path(str(options["model"])))
    asked = BenchRequest(budget_s=pytestconfig.getoption("--bench-budget"), beside="nothing")
    folder, command = tmp_path / "bench", ["pytest", "benchmarks"]
    bench_cases({"mrpc": arms}, asked, folder, command, Console(stderr=True))
    sessions = read_sessions(folder)
    if len(sessions) < 2:
        pytest.skip(f"not judged: {len(sessions)} sessions; raise --bench-budget")

    rows = costs(sessions)

    print({name: (row["own"], row.get("judged")) for name, row in rows.items()})  # noqa: T201
    assert [] == [name for name, row in rows.items() if row.get("judged") == "broken"]
