"""Measures the cost of tracing with `harness bench`, relative to a loop without a probe.

    python -m studies.trace_cost --mrpc-data DIR --mrpc-model DIR --budget 900 --out FOLDER

The bare loop is the course's training without the harness (`peer_loops/bare.py`). It trains on MRPC
without a probe, once more as its control, with the timing probe, and traced at each detail. The
plain loop, which must be as fast, is another arm. A second bench compares the stock Trainer with
and without `logging_steps=1`. With `--traincheck FILE`, the tracer of traincheck runs a script
(`peer_loops/script.py`) in turns with that script alone.

The timing probe costs the same in each step, whatever the model: two hooks and a row. In steps of
half a second this is lost in noise. So it is also measured on the short steps of `paraphrase`, in
microseconds, and related to the step on MRPC.

A ratio is the mean over sessions with a 95% t-interval, by three clocks: own time, which is wall
time without time lost to other processes; CPU time of all threads; and wall time, which says little
on a machine with other load. A limit holds if the whole interval of own time lies below it, and is
broken if the whole interval lies above it.

Takes the budget plus two times `--beside`: 21 minutes by default. Published:
`reports/published/trace-cost`. The exit code is 1 if a limit is broken, 4 if there were too few
sessions.
"""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.benchmark.arms import Arm, arms_of
from harness.benchmark.bench import bench_cases
from harness.benchmark.intervals import Sample, Value, session_means
from harness.benchmark.sessions import BenchRequest
from harness.benchmark.verdicts import ALPHA
from harness.results.report import Report
from harness.results.sessions import Session, read_sessions
from harness.spec import registry
from harness.spec.case import Case
from studies.study import write_result

__all__ = ["LIMITS", "costs", "in_long_steps", "peer_arms", "timed_arms", "watched_arms"]

_PEERS = Path(__file__).parent / "peer_loops"
_SCRIPT = _PEERS / "script.py"
_STEP = re.compile(r"^step \d+: wall ([\d.]+) s, CPU ([\d.]+) s$", re.MULTILINE)
_CLOCKS: dict[str, Value] = {
    "own": lambda block: block.own_s,
    "cpu": lambda block: block.cpu_s,
    "wall": lambda block: block.wall_s,
}
LIMITS = {"plain": 1.01, "timing": 1.005, "weights": 1.03, "full": 1.06}
"""The required limit of the ratio of a step's time to that of the bare loop."""


def watched_arms(mrpc_data: Path, mrpc_model: Path) -> list[Arm]:
    """The bare loop, its control, the same loop with each probe, and the plain loop."""
    bare = str(_PEERS / "bare.py")
    extra = [
        f"timing={bare},observe=timing",
        *(f"{name}={bare},observe=trace,detail={name}" for name in ("steps", "weights", "full")),
    ]
    return arms_of(_mrpc(mrpc_data, mrpc_model), [bare, "plain"], "matched", extra)


def peer_arms(mrpc_data: Path, mrpc_model: Path) -> list[Arm]:
    """The stock Trainer, its control, and the Trainer with `logging_steps=1`."""
    loops = ["trainer", str(_PEERS / "trainer_logging.py")]
    return arms_of(_mrpc(mrpc_data, mrpc_model), loops, "matched")


def _mrpc(data: Path, model: Path) -> Case:
    folders = {"data": str(data.resolve()), "model": str(model.resolve())}
    return registry.with_settings(registry.cases()["mrpc"], folders)


def timed_arms() -> list[Arm]:
    """On short steps: the bare loop, its control, and the bare loop with the timing probe."""
    bare = str(_PEERS / "bare.py")
    case = registry.cases()["paraphrase"]
    return arms_of(case, [bare], "matched", [f"timing={bare},observe=timing"])


def in_long_steps(short: Sequence[Session], long: Sequence[Session], arm: str) -> dict[str, Any]:
    """The cost of an arm in a short step, as a share of a long step.

    Times are own time. The step of the bare loop is the median over its blocks.
    """
    step_s = {
        name: statistics.median(
            block.own_s / block.steps for one in of for block in one.blocks if block.arm == "bare"
        )
        for name, of in (("short", short), ("long", long))
    }
    sample = Sample(tuple(session_means(short, "bare", arm, _CLOCKS["own"])))
    cost_s = [math.expm1(sample.mean) * step_s["short"]]
    cost_s += [(bound - 1) * step_s["short"] for bound in sample.interval(ALPHA)]
    ratio, low, high = (1 + each / step_s["long"] for each in cost_s)
    limit = LIMITS[arm]
    return {
        "sessions": len(short),
        "short_step_s": step_s["short"],
        "long_step_s": step_s["long"],
        "cost_s": cost_s[0],
        "cost_interval_s": cost_s[1:],
        "ratio": ratio,
        "interval": [low, high],
        "limit": limit,
        "judged": _state_of_limit(low, high, limit),
    }


def costs(sessions: Sequence[Session], against: str = "bare") -> dict[str, dict[str, Any]]:
    """The ratios of each arm to arm `against`, with intervals, and whether its limit holds."""
    found: dict[str, dict[str, Any]] = {}
    for arm in sorted({block.arm for block in sessions[0].blocks} - {against}):
        row: dict[str, Any] = {"against": against, "limit": LIMITS.get(arm)}
        for clock, value in _CLOCKS.items():
            sample = Sample(tuple(session_means(sessions, against, arm, value)))
            row[clock] = {"ratio": math.exp(sample.mean), "interval": sample.interval(ALPHA)}
        low, high = row["own"]["interval"]
        limit = row["limit"]
        if limit is not None:
            row["judged"] = _state_of_limit(low, high, limit)
        found[arm] = row
    return found


def _state_of_limit(low: float, high: float, limit: float) -> str:
    return "holds" if high <= limit else "broken" if low > limit else "not shown"


def tracer_cost(tracer: Path, model: Path, runs: int, timeout_s: float) -> dict[str, Any]:
    """CPU seconds per step of a script, alone and with `traincheck-collect`."""
    environment = {**os.environ, "MODEL": str(model.resolve()), "HF_HUB_OFFLINE": "1"}
    commands: Mapping[str, list[str]] = {
        "alone": [str(tracer.parent / "python"), str(_SCRIPT)],
        "traced": [
            str(tracer), "-p", str(_SCRIPT), "-t", "torch", "--models-to-track", "model",
        ],
    }  # fmt: skip
    cpu_s: dict[str, list[float]] = {"alone": [], "traced": []}
    for _ in range(runs):
        for name, command in commands.items():
            cpu_s[name] += _steps_cpu_s(command, environment, timeout_s)
    medians = {name: statistics.median(values) for name, values in cpu_s.items() if values}
    ratio = medians["traced"] / medians["alone"] if len(medians) == 2 else None
    return {"cpu_step_s": cpu_s, "cpu_ratio_of_medians": ratio}


def _steps_cpu_s(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> list[float]:
    """The CPU seconds that the script printed until it ended or timed out."""
    try:
        done = subprocess.run(  # both are named on the command line
            command, env=environment, capture_output=True, text=True, timeout=timeout_s
        )
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
    return [float(cpu_s) for _, cpu_s in _STEP.findall(output)]


def main(
    mrpc_data: Annotated[Path, typer.Option(help="Folder of GLUE MRPC.")],
    mrpc_model: Annotated[Path, typer.Option(help="Folder of a pretrained BERT.")],
    budget: Annotated[float, typer.Option(help="Seconds of the bench of traced loops.")] = 900.0,
    beside: Annotated[
        float,
        typer.Option(help="Seconds of each of the two other benches: short steps, and peers."),
    ] = 180.0,
    traincheck: Annotated[
        Path | None,
        typer.Option(
            help="The file `traincheck-collect` of an environment that can load the model."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of the script, alone and traced.")] = 2,
    timeout: Annotated[float, typer.Option(help="Timeout of such a run in seconds.")] = 300.0,
    out: Annotated[
        Path, typer.Option(help="Folder of sessions and result; a stopped study continues.")
    ] = (Path("reports/trace-cost")),
) -> None:
    """Measure the cost of tracing, print it and write result.json. Exit code 1: a limit is broken;
    4: too few sessions."""
    console = Console(stderr=True)

    def measured(
        arms: list[Arm], request: BenchRequest, folder: Path
    ) -> tuple[Report, Sequence[Session]]:
        cases = {arms[0].spec.case.name: arms}
        report, _ = bench_cases(
            cases, request, folder, ["trace_cost"], console, resume=folder.exists()
        )
        found = read_sessions(folder)
        if len(found) < 2:
            console.print(
                f"sessions: {len(found)}; the budget of {request.budget_s:g} s is too small"
            )
            sys.exit(4)
        return report, found

    report, sessions = measured(
        watched_arms(mrpc_data, mrpc_model), BenchRequest(budget_s=budget, beside="equality"), out
    )
    briefly = BenchRequest(budget_s=beside, beside="nothing")
    _, on_short_steps = measured(timed_arms(), briefly, out / "short-steps")
    _, of_peers = measured(peer_arms(mrpc_data, mrpc_model), briefly, out / "peers")
    rows, of_logging = costs(sessions), costs(of_peers, "trainer")
    short = in_long_steps(on_short_steps, sessions, "timing")
    tracer = None
    if traincheck is not None:
        tracer = tracer_cost(traincheck, mrpc_model, runs, timeout)
    summary = {
        "sessions": len(sessions),
        "cores": os.cpu_count(),
        "environment": report.environment,
        "equality": {pair.candidate: pair.equality for pair in report.comparisons},
        "costs": rows,
        "timing_on_short_steps": short,
        "peers": {"sessions": len(of_peers), "costs": of_logging},
        "traincheck": tracer,
    }
    write_result(out, summary)
    for line in [*_lines(rows), _short_line(short), *_lines(of_logging)]:
        console.print(line, highlight=False, soft_wrap=True)
    if tracer is not None:
        console.print(json.dumps(tracer), soft_wrap=True)
    if "broken" in [short["judged"], *(row.get("judged") for row in rows.values())]:
        sys.exit(1)


def _lines(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, row in rows.items():
        parts = (
            f"{clock} {row[clock]['ratio']:.4f} [{low:.4f}, {high:.4f}]"
            for clock in _CLOCKS
            for low, high in [row[clock]["interval"]]
        )
        limit = f"  limit {row['limit']}: {row['judged']}" if row["limit"] else ""
        yield f"{name:16s} relative to {row['against']}: {'  '.join(parts)}{limit}"


def _short_line(short: Mapping[str, Any]) -> str:
    cost, low, high = (1e6 * cost_s for cost_s in (short["cost_s"], *short["cost_interval_s"]))
    least, most = short["interval"]
    return (
        f"timing, on short steps: {cost:.0f} us [{low:.0f}, {high:.0f}]; relative to a step on "
        f"MRPC {short['ratio']:.4f} [{least:.4f}, {most:.4f}]  "
        f"limit {short['limit']}: {short['judged']}"
    )


if __name__ == "__main__":
    typer.run(main)
