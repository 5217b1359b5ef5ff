"""What does watching cost? Blocks of traced and of merely timed steps, in turns in one process.

`pytest benchmarks/test_trace_cost.py -s --mrpc-data DIR --mrpc-model DIR`
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest
import torch
from scipy import stats

from benchmarks.conftest import chosen_case
from benchmarks.trace_cost import Bench
from harness import catalogue
from harness.seeding import make_deterministic, seed_everything
from harness.worker import build_workload

STEPS = 8  # in a block; the first of them is not counted
PAIRS = 15


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
    bench, ratios = Bench(workload, spec, tmp_path), []
    for pair in range(PAIRS + 1):
        order = ("timing", "trace, full") if pair % 2 else ("trace, full", "timing")
        step_s = {arm: bench.block(arm)[0] for arm in order}  # by the wall's clock
        if pair:  # the first pair warms up
            ratios.append(step_s["trace, full"] / step_s["timing"])
    logs = [math.log(ratio) for ratio in ratios]
    half = stats.t.ppf(0.975, PAIRS - 1) * statistics.stdev(logs) / math.sqrt(PAIRS)
    low, middle, high = (math.exp(statistics.mean(logs) + d) for d in (-half, 0.0, half))
    print(f"\ntraced / bare step: {middle:.4f}, 95% interval {low:.4f} to {high:.4f}")  # noqa: T201
    assert high <= 1.10
