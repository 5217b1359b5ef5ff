"""The cost of tracing, checked by hand, and for loops that compute the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.results.sessions import Session
from studies.trace_cost import costs, in_long_steps
from tests.support.bench_sessions import block
from tests.support.small_runs import comparison, small_case, train, write_pairs

PEERS = Path(__file__).parents[2] / "studies" / "peer_loops"


def sessions(step_s: float, ratios: list[float]) -> list[Session]:
    """Sessions of the bare loop with steps of `step_s`, and of the timing probe."""
    found = []
    for number, ratio in enumerate(ratios, start=1):
        pairs = [("bare", step_s), ("timing", step_s * ratio)]
        blocks = tuple(block(a, turn, wall_s=4 * s) for turn in range(1, 4) for a, s in pairs)
        found.append(Session(number, "a plan", blocks, {"bare": 1.0, "timing": 1.0}, 10.0))
    return found


@pytest.mark.parametrize(
    ("ratio", "judged"), [(1.01, "holds"), (1.05, "broken"), (1.04, "not shown")]
)
def test_a_cost_in_seconds_is_a_smaller_share_of_a_longer_step(ratio: float, judged: str) -> None:
    """Of 50 ms 1% are 0.5 ms, which is 0.125% of 400 ms; the limit is 0.5% of those, or 2 ms."""
    short = sessions(0.05, [ratio - 0.002, ratio, ratio + 0.002])
    found = in_long_steps(short, sessions(0.4, [1.0, 1.0]), "timing")

    assert found["cost_s"] == pytest.approx(0.05 * (ratio - 1), rel=1e-3)
    assert found["ratio"] == pytest.approx(1 + (ratio - 1) / 8, rel=1e-6, abs=1e-6)
    low, high = found["interval"]
    assert high - low == pytest.approx(2 * 4.3027 * 0.002 / 3**0.5 / 8, rel=0.01)
    assert found["judged"] == judged


def test_a_limit_holds_only_where_the_whole_interval_lies_below_it() -> None:
    """Directly, in shares of its own steps."""
    rows = [costs(sessions(0.4, around))["timing"] for around in ([1.0, 1.0001], [1.0, 1.01])]

    assert ["holds", "not shown"] == [row["judged"] for row in rows]


@pytest.mark.slow
def test_the_peers_compute_what_the_plain_loop_does(tmp_path: Path) -> None:
    """A ratio is meaningful only for loops that do the same work."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=4)
    peers = [str(PEERS / f"{name}.py") for name in ("bare", "trainer_logging")]
    records = train(case, ["plain", *peers], tmp_path / "records")

    for name in ("bare", "trainer_logging"):
        assert "identical" == comparison(records, "plain", name).outcome
