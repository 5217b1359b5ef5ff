"""A bench and a check, small and fixed, beside those of `small_report.py`."""

from typing import Any

from harness.results.benchmark import ArmFigures, BenchResult
from harness.results.comparison import Comparison, Finding
from harness.results.regression import CheckItem, CheckResult, UsedBaseline
from harness.results.report import Report
from tests.support.small_report import AWKWARD, small_report


def speed(candidate: str, outcome: Any, ratio: float, interval: tuple[float, float]) -> Comparison:
    """A candidate timed beside plain, which computes the same."""
    return Comparison(
        case="tiny",
        reference="plain",
        candidate=candidate,
        outcome=outcome,
        steps=60,
        equality="identical",
        findings=(
            Finding(
                metric="own_step_s",
                unit="s",
                outcome=outcome,
                reference=0.1,
                candidate=0.1 * ratio,
                ratio=ratio,
                interval=interval,
                confidence=0.95,
                margin=0.02,
                smallest_visible=1.035,
                needed=9 if outcome == "inconclusive" else None,
                needed_s=180.0 if outcome == "inconclusive" else None,
            ),
        ),
    )


def arm(name: str) -> ArmFigures:
    """An arm of 0.1 s a step, with something in most columns."""
    return ArmFigures(
        name=name,
        loop=name,
        python=None,
        overrides={},
        observe="nothing",
        steps=60,
        step_s=0.11,
        own_step_s=0.1,
        cpu_step_s=0.1,
        samples_per_s=80.0,
        tokens_per_s=600.0,
        padded_tokens_per_s=800.0,
        first_step_s=0.5,
        startup_s=1.25,
        peak_resident_bytes=900 * 2**20,
        flops_per_step=2.5e9,
        share_of_peak=0.25,
        parts={"data": 0.001, "forward": 0.03, "backward": 0.06, "optimizer": 0.005, "rest": 0.004},
    )


def bench_report(**changes: Any) -> Report:
    """Two candidates timed beside plain: one slower, one of which nothing is known."""
    result = BenchResult(
        statistic="own_step_s",
        reason="own time leaves out what others took",
        margin=0.02,
        sessions=3,
        rounds=5,
        steps_per_turn=5,
        control_ratio=1.001,
        control_interval=(0.99, 1.012),
        control_why_not="",
        arms=tuple(arm(name) for name in ("plain", "accelerated", "trainer", "control")),
        peak_flops_per_s=5e10,
        took_s=60.0,
        stopped_by="the number asked for",
        conclusion="trainer is slower",
    )
    return small_report(
        **{
            "verdict": "no_verdict",
            "runs": (),
            "comparisons": (
                speed("trainer", "slower", 1.05, (1.03, 1.07)),
                speed("accelerated", "inconclusive", 1.01, (0.99, 1.03)),
            ),
            "bench": {"tiny": result},
            "command": ("harness", "bench"),
            **changes,
        }
    )


def item(listed: Any, **changes: Any) -> CheckItem:
    """One thing held against the baseline."""
    return CheckItem(
        **{
            "case": "tiny",
            "loop": "trainer",
            "metric": "steps",
            "tier": "exact",
            "listed": listed,
            "sentence": f"steps: {listed}",
            "before": 6,
            "now": 7,
            **changes,
        }
    )


def gated_report(**changes: Any) -> Report:
    """A check with something in each list, of two loops that differ as they were accepted."""
    gate = CheckResult(
        items=(
            item("regressed"),
            item(
                "improved",
                metric="step_time_ratio",
                tier="speed",
                before=1.1,
                now=1.0,
                ratio=0.909,
                interval=(0.88, 0.94),
            ),
            item("unchanged", metric="parameters", before=30, now=30),
            item(
                "inconclusive",
                metric="peak_memory",
                tier="memory",
                unit="B",
                before=2**30,
                now=2**30 + 2**24,
                sentence=AWKWARD,
            ),
            item("not_comparable", loop="", metric="key", tier="baseline", before=None, now=None),
            item("missing", loop="accelerated", metric="arm", before=None, now=None),
        ),
        baselines=(
            UsedBaseline(
                case="tiny",
                file="tiny/cpu-2-cores.json",
                machine_class="cpu-2-cores",
                accepted_at="2026-11-01T12:00:00+00:00",
                commit="0123456789abcdef",
                reason=AWKWARD,
                key_differences={"torch": ("2.12", "2.13"), "threads": (1, 2)},
            ),
            UsedBaseline(case="other", file=None, machine_class="cpu-2-cores"),
        ),
        measurements=2,
        moved_together="All loops moved alike: the machine or a library.",
    )
    return small_report(**{"verdict": "regression", "gate": gate, **changes})
