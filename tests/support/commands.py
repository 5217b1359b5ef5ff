"""Small training scripts, run alone and traced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import harness
from harness.results.record import RunRecord

__all__ = ["HARNESS", "alone", "environment", "traced", "without_harness_lines"]

HARNESS = [sys.executable, "-m", "harness", "trace"]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a command, in which this copy of the harness is found first."""
    path = os.pathsep.join([str(Path(harness.__file__).parents[1]), variables.pop("path", "")])
    return {**os.environ, "PYTHONPATH": path.strip(os.pathsep), **variables}


def alone(
    words: Sequence[str], cwd: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command prints and how it ends without the harness."""
    return subprocess.run(
        list(words),
        cwd=cwd,
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        check=False,
    )


def traced(
    words: Sequence[str],
    cwd: Path,
    out: str = "out",
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> tuple[subprocess.CompletedProcess[str], list[RunRecord]]:
    """What a command prints under `harness trace`, and its records by name."""
    command = [*HARNESS, "--out", out, *options, "--", *words]
    done = alone(command, cwd, variables)
    records = sorted((cwd / out / "records").glob("*/record.json"))
    return done, [RunRecord(path.parent) for path in records]


def without_harness_lines(text: str) -> str:
    """Errors of a command without the lines that the harness adds at the end."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("harness: "))
