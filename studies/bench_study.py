"""What the studies of `harness bench` share: the same bench again and again, kept as it goes.

Verdicts are made of the sessions that a bench left, so a study whose sessions are here, as a
published one's, is judged again without a new measurement: `--judge-again --out FOLDER`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.benchmark.arms import arms_of
from harness.benchmark.bench import bench_cases
from harness.benchmark.bench_case import BenchRequest
from harness.benchmark.conclusions import Conclusions, conclude, statistic_of
from harness.errors import RunFailed
from harness.results.benchmark import CONTROL
from harness.results.record import write_atomically
from harness.results.report import REPORT_FILE
from harness.results.sessions import Session, read_sessions
from harness.spec import registry as catalogue
from harness.spec.case import Case
from harness.training.synthetic.sentence_pairs import sentence_pairs

__all__ = ["JudgeAgain", "Judged", "repeated", "study_case", "write_result"]

_ROWS = {"train": 512, "validation": 16}


JudgeAgain = Annotated[
    bool, typer.Option(help="Measure nothing: judge the sessions that are in --out.")
]


@dataclass(frozen=True)
class Judged:
    """What a bench's sessions say."""

    number: int
    sessions: Sequence[Session]
    conclusions: Conclusions


def repeated(
    runs: int, loops: Sequence[str], asked: BenchRequest, out: Path, console: Console, again: bool
) -> Iterator[Judged]:
    """So many benches, each in a folder of its own below `out`.

    One that was made there before is judged as it is, and one that was stopped goes on. `again`:
    only those that are there.
    """
    for number in range(1, runs + 1):
        folder = out / f"run-{number:03}"
        if not again and not (folder / REPORT_FILE).is_file():
            case = study_case(out)
            seeded = catalogue.with_settings(case, {"seed": number})
            cases = {case.name: arms_of(seeded, loops, "matched")}
            try:
                bench_cases(cases, asked, folder, ["study"], console, resume=True)
            except RunFailed as error:
                console.print(f"run {number}: {error}", markup=False)
        sessions = read_sessions(folder)
        if len(sessions) < 2:
            console.print(f"run {number}: not judged, of {len(sessions)} sessions")
            continue
        names = _candidates(sessions, loops[0])
        statistic = statistic_of(sessions, "cpu")
        found = conclude("study", sessions, loops[0], names, statistic, asked.margin, {})
        yield Judged(number, sessions, found)


def _candidates(sessions: Sequence[Session], reference: str) -> list[str]:
    return sorted({block.arm for block in sessions[0].blocks} - {reference, CONTROL})


def study_case(out: Path) -> Case:
    """The embedded case on rows that are written to `out` once, so that processes start quickly."""
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate(_ROWS.items()):
        with write_atomically(data / f"{split}.jsonl") as path:
            lines = (json.dumps(row) + "\n" for row in sentence_pairs(count, seed))
            path.write_text("".join(lines), encoding="utf-8")
    settings = {"data": str(data.resolve())}
    return catalogue.with_settings(catalogue.cases()["paraphrase"], settings)


def write_result(
    out: Path, found: Sequence[dict[str, Any]], summary: Callable[[], dict[str, Any]]
) -> None:
    """`result.json` in `out`, atomically, after each run."""
    with write_atomically(out / "result.json") as path:
        content = {**summary(), "runs": list(found)}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
