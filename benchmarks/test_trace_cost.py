"""What does watching cost? Blocks of traced and of merely timed steps, in turns in one process.

`pytest benchmarks/test_trace_cost.py -s --mrpc-data DIR --mrpc-model DIR`
"""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path

import pytest
import torch
from scipy import stats

from benchmarks.conftest import chosen_case
from harness import catalogue
from harness.loops import plain
from harness.probe import Listener, TimingProbe, TraceProbe
from harness.record import RecordWriter
from harness.seeding import make_deterministic, seed_everything
from harness.spec import RunSpec
from harness.worker import build_workload
from harness.workload import Workload

STEPS = 8  # in a block; the first of them is not counted
PAIRS = 15


class StepEnds(Listener):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def after_step(self, step: int) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def block_s(workload: Workload, spec: RunSpec, traced: bool, folder: Path) -> float:
    """Seconds of `STEPS` - 1 steps of the plain loop. The rows are the same in every block."""
    writer, listener = RecordWriter(folder), StepEnds()
    probe: TraceProbe | TimingProbe
    if traced:
        probe = TraceProbe(writer, listener, workload, spec, STEPS)
    else:
        probe = TimingProbe(writer, listener, workload)
    plain.train(workload, spec.recipe, probe)
    probe.close()
    return listener.ends[-1] - listener.ends[0]


@pytest.mark.parametrize("case", ["mrpc"])
def test_a_trace_at_full_detail_costs_at_most_a_tenth(
    case: str, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Gradients, weights and optimizer state digested at each step take 10% of a step or less."""
    chosen = chosen_case(pytestconfig, case)
    chosen = catalogue.with_settings(chosen, {"max_steps": STEPS})
    spec = catalogue.run_spec(chosen, "plain")
    recipe = spec.recipe
    device = torch.device("cpu")
    make_deterministic(device, recipe.num_threads)
    seed_everything(recipe.seed)
    workload = build_workload(chosen, recipe, device, tmp_path)
    ratios = []
    for pair in range(PAIRS + 1):
        order = (False, True) if pair % 2 else (True, False)
        took = {
            traced: block_s(workload, spec, traced, tmp_path / f"{pair}-{traced}")
            for traced in order
        }
        if pair:  # the first pair warms up
            ratios.append(took[True] / took[False])
    logs = [math.log(ratio) for ratio in ratios]
    half = stats.t.ppf(0.975, PAIRS - 1) * statistics.stdev(logs) / math.sqrt(PAIRS)
    low, middle, high = (math.exp(statistics.mean(logs) + d) for d in (-half, 0.0, half))
    print(f"\ntraced / bare step: {middle:.4f}, 95% interval {low:.4f} to {high:.4f}")  # noqa: T201
    assert high <= 1.10
