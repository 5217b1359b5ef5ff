"""How often does a bench call identical code faster or slower? Again and again, counted.

    python -m studies.bench_false_alarms --runs 60 --budget 120 --out FOLDER

Three plain loops run beside each other: the reference, its control, and one that poses as a
candidate. Every `faster` or `slower` is a false alarm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from scipy import stats

from harness.benchmark.bench_case import BenchRequest
from studies.bench_study import JudgeAgain, repeated, write_result


def main(
    runs: Annotated[int, typer.Option(min=1, help="Benches to make.")] = 60,
    budget: Annotated[float, typer.Option(help="Seconds of each.")] = 120.0,
    margin: Annotated[float, typer.Option(help="The difference that does not matter.")] = 0.02,
    out: Annotated[Path, typer.Option(help="Folder for sessions and result; goes on there.")] = (
        Path("reports/bench-false-alarms")
    ),
    judge_again: JudgeAgain = False,
) -> None:
    """Count false alarms and write result.json, with the rate that the count rules out."""
    console = Console(stderr=True)
    found: list[dict[str, Any]] = []
    asked = BenchRequest(budget_s=budget, margin=margin, beside="nothing")

    def summary() -> dict[str, Any]:
        alarms = sum(run["outcome"] in ("faster", "slower") for run in found)
        low, high = stats.binomtest(alarms, len(found)).proportion_ci(0.95)
        return {
            "budget_s": budget,
            "margin": margin,
            "count": len(found),
            "alarms": alarms,
            "rate_interval_95": [float(low), float(high)],
            "outcomes": {
                outcome: sum(run["outcome"] == outcome for run in found)
                for outcome in ("faster", "slower", "equivalent", "inconclusive")
            },
        }

    for one in repeated(runs, ["plain", "plain"], asked, out, console, judge_again):
        (comparison,) = one.conclusions.comparisons
        own = comparison.findings[0]
        found.append(
            {
                "run": one.number,
                "sessions": len(one.sessions),
                "control": [round(bound, 4) for bound in one.conclusions.control.interval],
                "caution": one.conclusions.control.caution,
                "outcome": comparison.outcome,
                "ratio": own.ratio,
                "interval": own.interval,
            }
        )
        write_result(out, found, summary)
        console.print(found[-1])
    console.print(summary())


if __name__ == "__main__":
    typer.run(main)
