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
from harness.synthetic.sentence_pairs import sentence_pairs

__all__ = ["repeated", "write_result"]

_ROWS = {"train": 512, "validation": 16}


def repeated(
    runs: int, loops: Sequence[str], asked: Asked, out: Path, console: Console
) -> Iterator[tuple[int, Report]]:
    """The reports of so many benches, each in a folder of its own below `out`.

    One that was made there before is read, and one that was stopped goes on. The rows are written
    once and read by all, so that processes start quickly.
    """
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate(_ROWS.items()):
        with write_atomically(data / f"{split}.jsonl") as path:
            lines = (json.dumps(row) + "\n" for row in sentence_pairs(count, seed))
            path.write_text("".join(lines), encoding="utf-8")
    for number in range(1, runs + 1):
        folder = out / f"run-{number:03}"
        if (folder / REPORT_FILE).is_file():
            yield number, Report.read(folder)
            continue
        settings: dict[str, Any] = {"data": str(data.resolve()), "seed": number}
        case = catalogue.with_settings(catalogue.cases()["paraphrase"], settings)
        arms = arms_of(case, loops, "matched")
        cases = {case.name: arms}
        try:
            report, _ = bench_cases(cases, asked, folder, ["study"], console, resume=True)
        except RunFailed as error:
            console.print(f"run {number}: {error}", markup=False)
            continue
        yield number, report


def write_result(
    out: Path, found: Sequence[dict[str, Any]], summary: Callable[[], dict[str, Any]]
) -> None:
    """`result.json` in `out`, atomically, after each run."""
    with write_atomically(out / "result.json") as path:
        content = {**summary(), "runs": list(found)}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
