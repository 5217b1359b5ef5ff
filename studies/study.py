"""What the studies share: their result file, a small case, and benches repeated with new seeds.

A study is a program that measures the harness itself: `python -m studies.NAME --help`. It writes
`result.json` into its folder. The published results are in `reports/published/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.benchmark.arms import arms_of
from harness.benchmark.bench import bench_cases
from harness.benchmark.conclusions import Conclusions, conclude, statistic_of
from harness.benchmark.sessions import BenchRequest
from harness.errors import RunFailed
from harness.results.benchmark import CONTROL
from harness.results.record import write_atomically
from harness.results.report import REPORT_FILE
from harness.results.sessions import Session, read_sessions
from harness.spec import registry
from harness.spec.case import Case
from harness.training.synthetic.sentence_pairs import sentence_pairs

__all__ = ["BenchOfStudy", "FromSessions", "repeated_benches", "study_case", "write_result"]

_ROWS = {"train": 512, "validation": 16}

FromSessions = Annotated[
    bool,
    typer.Option(
        "--from-sessions", "--judge-again", help="Measure nothing: use the sessions in --out."
    ),
]
"""Conclusions depend only on the stored sessions, so they can be drawn again without measuring."""


@dataclass(frozen=True)
class BenchOfStudy:
    """The sessions of one bench, and the conclusions from them."""

    number: int
    sessions: Sequence[Session]
    conclusions: Conclusions


def repeated_benches(
    runs: int,
    loops: Sequence[str],
    request: BenchRequest,
    out: Path,
    console: Console,
    from_sessions: bool,
) -> Iterator[BenchOfStudy]:
    """Run benches of the same loops with seeds 1 to `runs`, each in its own folder below `out`.

    A complete bench in `out` is used as it is, and a stopped one continues. `from_sessions`: use
    only existing benches.
    """
    for number in range(1, runs + 1):
        folder = out / f"run-{number:03}"
        if not from_sessions and not (folder / REPORT_FILE).is_file():
            case = study_case(out)
            seeded = registry.with_settings(case, {"seed": number})
            cases = {case.name: arms_of(seeded, loops, "matched")}
            try:
                bench_cases(cases, request, folder, ["study"], console, resume=True)
            except RunFailed as error:
                console.print(f"run {number}: {error}", markup=False)
        sessions = read_sessions(folder)
        if len(sessions) < 2:
            console.print(f"run {number}: no conclusion, sessions: {len(sessions)}")
            continue
        candidates = sorted({block.arm for block in sessions[0].blocks} - {loops[0], CONTROL})
        statistic = statistic_of(sessions, "cpu")
        conclusions = conclude(
            "study", sessions, loops[0], candidates, statistic, request.margin, {}
        )
        yield BenchOfStudy(number, sessions, conclusions)


def study_case(out: Path) -> Case:
    """The case `paraphrase` on rows that are written to `out`, so that processes start quickly."""
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate(_ROWS.items()):
        with write_atomically(data / f"{split}.jsonl") as path:
            lines = (json.dumps(row) + "\n" for row in sentence_pairs(count, seed))
            path.write_text("".join(lines), encoding="utf-8")
    settings = {"data": str(data.resolve())}
    return registry.with_settings(registry.cases()["paraphrase"], settings)


def write_result(out: Path, result: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write `result.json` into `out`, atomically."""
    out.mkdir(parents=True, exist_ok=True)
    with write_atomically(out / "result.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
