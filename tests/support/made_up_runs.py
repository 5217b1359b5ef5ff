"""Baselines and output folders that nobody trained for, with ratios and facts that are known."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.benchmark.passes import FILE
from harness.regression.speeds import Speeds, speeds_of
from harness.results.record import write_atomically
from harness.results.sessions import FOLDER, Session
from tests.support.bench_sessions import sessions
from tests.support.records import Draft, draft, write_run_folder

__all__ = ["ENVIRONMENT", "PEAK_BYTES", "bench_folder", "made_up_draft", "spread", "timed", "times"]

PEAK_BYTES = 20_000_000
ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.9",
    "versions": {"torch": "2.13.0", "transformers": "5.23.0", "accelerate": "1.15.0"},
    "cpu": "a processor",
    "cores": 2,
    "threads": 1,
    "deterministic_algorithms": True,
    "float32_matmul_precision": "highest",
    "cpu_capability": "AVX2",
    "commit": "0123456789abcdef",
}


def made_up_draft(loop: str = "plain", case: str = "tiny", **environment: Any) -> Draft:
    """A sound record made on a known machine."""
    return draft(loop, case, environment={**ENVIRONMENT, **environment})


def spread(mean: float, count: int = 6, seed: int = 0, by: float = 0.01) -> list[float]:
    """So many ratios around `mean`, one a session."""
    drawn = random.Random(seed)
    return [mean * (1 + drawn.gauss(0, by)) for _ in range(count)]


def timed(
    loop: float = 1.0,
    code: float = 1.0,
    machine: float = 1.0,
    seed: int = 0,
    count: int = 6,
    by: float = 0.01,
) -> list[Session]:
    """Sessions of plain, its control and trainer.

    `loop`: trainer's time against plain's. `code`: of all loops alike, not of the yardstick;
    `machine`: of that too.
    """
    ratios: Mapping[str, list[float]] = {
        "control": spread(1.0, count, 10 * seed + 1, by),
        "trainer": spread(loop, count, 10 * seed + 2, by),
    }
    scales = spread(code * machine, count, 10 * seed + 3, by)
    found = []
    for session, scale in zip(sessions(ratios), scales, strict=True):
        blocks = [
            replace(b, wall_s=b.wall_s * scale, cpu_s=b.cpu_s * scale, yardstick_s=0.004 * machine)
            for b in session.blocks
        ]
        found.append(replace(session, blocks=tuple(blocks)))
    return found


def times(**how: Any) -> Speeds:
    """The same as raw samples."""
    found = speeds_of(timed(**how), "plain", "cpu")
    assert found is not None
    return found


def bench_folder(
    folder: Path, drafts: Mapping[str, Draft] | None = None, made: list[Session] | None = None
) -> Path:
    """An output folder as a bench leaves it."""
    chosen = drafts or {"plain": made_up_draft(), "trainer": made_up_draft("trainer")}
    write_run_folder(folder, chosen)
    with write_atomically(folder / FILE) as path:
        memory = {loop: {"peak_allocated_bytes": PEAK_BYTES} for loop in chosen}
        path.write_text(json.dumps({"memory": memory}), encoding="utf-8")
    for session in timed() if made is None else made:
        session.write(folder / FOLDER)
    return folder
