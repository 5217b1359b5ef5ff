"""What the studies of `harness bench` share: the same bench again and again, kept as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import catalogue
from harness.bench.arms import arms_of
from harness.bench.case_bench import Asked
from harness.bench.command import bench_cases
from harness.errors import RunFailed
from harness.record import write_atomically
from harness.report.model import REPORT_FILE, Report
from harness.spec import Case
from harness.synthetic.sentence_pairs import sentence_pairs

__all__ = ["repeated", "study_case", "write_result"]

_ROWS = {"train": 512, "validation": 16}


def repeated(
    runs: int, loops: Sequence[str], asked: Asked, out: Path, console: Console
) -> Iterator[tuple[int, Report]]:
    """The reports of so many benches, each in a folder of its own below `out`.

    One that was made there before is read, and one that was stopped goes on.
    """
    case = study_case(out)
    for number in range(1, runs + 1):
        folder = out / f"run-{number:03}"
        if (folder / REPORT_FILE).is_file():
            yield number, Report.read(folder)
            continue
        seeded = catalogue.with_settings(case, {"seed": number})
        cases = {case.name: arms_of(seeded, loops, "matched")}
        try:
            report, _ = bench_cases(cases, asked, folder, ["study"], console, resume=True)
        except RunFailed as error:
            console.print(f"run {number}: {error}", markup=False)
            continue
        yield number, report


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
