"""Measures how often a bench calls identical code faster or slower.

    python -m studies.bench_false_alarms --runs 60 --budget 120 --out FOLDER

Three plain loops take turns: the reference, its control, and a candidate with the same code. Every
`faster` or `slower` is a false alarm. Takes runs times budget: two hours by default. Published with
an interval of the rate of false alarms: `reports/published/bench-false-alarms`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from scipy import stats

from harness.benchmark.sessions import BenchRequest
from studies.study import FromSessions, repeated_benches, write_result


def main(
    runs: Annotated[int, typer.Option(min=1, help="Number of benches.")] = 60,
    budget: Annotated[float, typer.Option(help="Seconds of each bench.")] = 120.0,
    margin: Annotated[float, typer.Option(help="The difference that does not matter.")] = 0.02,
    out: Annotated[Path, typer.Option(help="Folder of the result; a stopped study continues.")] = (
        Path("reports/bench-false-alarms")
    ),
    from_sessions: FromSessions = False,
) -> None:
    """Measure how often a bench calls identical code faster or slower; write result.json."""
    console = Console(stderr=True)
    found: list[dict[str, Any]] = []
    request = BenchRequest(budget_s=budget, margin=margin, beside="nothing")

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

    for one in repeated_benches(runs, ["plain", "plain"], request, out, console, from_sessions):
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
        write_result(out, {**summary(), "runs": found})
        console.print(found[-1])
    console.print(summary())


if __name__ == "__main__":
    typer.run(main)
