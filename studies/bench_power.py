"""Measures how often a bench detects that a loop does 5% or 10% more work.

    python -m studies.bench_power --runs 20 --budget 300 --out FOLDER

Both slowed loops and the plain one take turns in each bench, so each bench makes two comparisons.
`visible.svg` shows the smallest visible slowdown over the time spent. Takes runs times budget: 100
minutes by default. Published, with a lower bound of the power: `reports/published/bench-power`.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import typer
from matplotlib.figure import Figure
from rich.console import Console
from scipy import stats

from harness.benchmark.intervals import Sample, session_means
from harness.benchmark.sessions import BenchRequest
from harness.benchmark.verdicts import decide_outcomes
from harness.results.sessions import read_sessions
from studies.study import BenchOfStudy, FromSessions, repeated_benches, write_result

LOOPS = Path(__file__).parent / "slow_loops"
SLOWED = {"slow_by_5_percent": 1.05, "slow_by_10_percent": 1.10}


def result_of(one: BenchOfStudy) -> dict[str, Any]:
    """The outcome of one bench for each planted slowdown."""
    control = one.conclusions.control
    found: dict[str, Any] = {
        "run": one.number,
        "sessions": len(one.sessions),
        "took_s": round(sum(session.took_s for session in one.sessions), 1),
        "control": [round(bound, 4) for bound in control.interval],
        "caution": control.caution,
    }
    for comparison in one.conclusions.comparisons:
        own = comparison.findings[0]
        found[comparison.candidate] = {
            "outcome": comparison.outcome,
            "ratio": own.ratio,
            "interval": own.interval,
        }
    return found


def visible(out: Path, margin: float) -> list[dict[str, float]]:
    """The smallest visible slowdown of the first n sessions, for each n that half of the runs have.

    It is the median over those runs, and so are the seconds.
    """
    by_count: dict[int, list[tuple[float, float]]] = {}
    for folder in sorted(out.glob("run-*")):
        sessions = read_sessions(folder)
        for count in range(3, len(sessions) + 1):
            first = sessions[:count]
            means = session_means(first, "plain", "control", lambda block: block.own_s)
            effect = decide_outcomes({"control": Sample(tuple(means))}, margin)[
                "control"
            ].smallest_visible
            by_count.setdefault(count, []).append((sum(s.took_s for s in first), effect - 1))
    return [
        {
            "sessions": count,
            "runs": len(points),
            "seconds": statistics.median(seconds for seconds, _ in points),
            "smallest_visible": statistics.median(effect for _, effect in points),
        }
        for count, points in sorted(by_count.items())
        if 2 * len(points) >= len(by_count[3])
    ]


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """Draw the curve as SVG, with labelled points."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench-power"}):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        seconds = [point["seconds"] for point in curve]
        percent = [100 * point["smallest_visible"] for point in curve]
        axes.plot(seconds, percent, marker="o", markersize=4)
        for point, x, y in zip(curve, seconds, percent, strict=True):
            text = f"{y:.1f}%\n{point['sessions']:.0f} sessions"
            axes.annotate(text, (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=8)
        axes.set_xlabel("wall seconds spent on sessions (median of the runs)")
        axes.set_ylabel("smallest visible slowdown, %")
        axes.set_ylim(0, 1.25 * max(percent))
        axes.grid(alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main(
    runs: Annotated[int, typer.Option(min=1, help="Number of benches.")] = 20,
    budget: Annotated[float, typer.Option(help="Seconds of each bench.")] = 300.0,
    margin: Annotated[float, typer.Option(help="The difference that does not matter.")] = 0.02,
    out: Annotated[Path, typer.Option(help="Folder of the result; a stopped study continues.")] = (
        Path("reports/bench-power")
    ),
    from_sessions: FromSessions = False,
) -> None:
    """Measure how often a bench detects planted slowdowns; write result.json and visible.svg."""
    console = Console(stderr=True)
    found: list[dict[str, Any]] = []
    request = BenchRequest(budget_s=budget, margin=margin, beside="nothing")
    loops = ["plain", *(str(LOOPS / f"{name}.py") for name in SLOWED)]

    def summary() -> dict[str, Any]:
        called = {
            name: sum(run[name]["outcome"] == "slower" for run in found if name in run)
            for name in SLOWED
        }
        least = {
            name: float(stats.binomtest(count, len(found)).proportion_ci(0.95).low)
            for name, count in called.items()
        }
        return {
            "budget_s": budget,
            "margin": margin,
            "count": len(found),
            "called": called,
            "power_at_least_95": {k: v for k, v in least.items() if not math.isnan(v)},
            "visible": visible(out, margin),
        }

    for one in repeated_benches(runs, loops, request, out, console, from_sessions):
        found.append(result_of(one))
        write_result(out, {**summary(), "runs": found})
        console.print(found[-1])
    plot(visible(out, margin), out / "visible.svg")
    console.print({name: summary()["called"][name] for name in SLOWED}, "of", len(found))


if __name__ == "__main__":
    typer.run(main)
