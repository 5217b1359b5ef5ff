"""A suite that is killed continues by the same command, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.results.record import HEADER
from harness.results.report import REPORT_FILE
from tests.support.commands import environment
from tests.support.run_values import values_in
from tests.support.small_runs import write_pairs

pytestmark = pytest.mark.slow

RUNS = 4


def command(folder: Path, *more: str) -> list[str]:
    """Two cases by two loops, one run at a time."""
    program = [sys.executable, "-m", "tests.support.small_suite", str(folder / "data")]
    return [*program, "run", "--suite", "small", "--loops", "plain,minimal", *more, "--jobs", "1"]


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command until its end."""
    return subprocess.run(
        command(folder, *more),
        cwd=Path.cwd(),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def kill(folder: Path, moment: Callable[[], bool], *more: str) -> str:
    """Start the command and kill it with SIGKILL when the moment has come; what it printed.

    None of its processes outlives it for long.
    """
    with subprocess.Popen(
        command(folder, *more), env=environment(), stderr=subprocess.PIPE, text=True
    ) as started:
        while not moment():
            assert started.poll() is None, "the command ended before that moment"
            time.sleep(0.002)
        processes = psutil.Process(started.pid).children(recursive=True)
        os.kill(started.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert [] == alive
        assert started.stderr is not None
        return started.stderr.read()


def headers(out: Path) -> dict[str, int]:
    """By the name of a complete record: when it was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f"records/*/{HEADER}")}


def test_a_suite_goes_on_after_sigkill(tmp_path: Path) -> None:
    """Killed in its first run, between runs, with a record half written and before its report, it
    makes no complete run twice and one damaged run again. Every value is that of a suite that
    nobody stopped, and the damage would have been seen."""
    write_pairs(tmp_path / "data")
    whole = tmp_path / "whole"
    done = run(tmp_path, "--out", str(whole))
    assert 0 == done.returncode, done.stderr
    expected = values_in(whole)
    assert (
        f"Suite small: 4 runs in {whole}; after a stop, the same command continues" in done.stderr
    )

    out = tmp_path / "out"
    records = out / "records"
    options = ("--out", str(out))
    kill(tmp_path, lambda: any(records.glob("*/log.txt")), *options)
    assert {} == headers(out)

    said = kill(tmp_path, lambda: len(headers(out)) == 1, *options)
    assert "0 complete runs used again, 4 runs left" in said
    complete = headers(out)
    half = records / "two-plain"
    half.mkdir(exist_ok=True)
    (half / HEADER).write_text('{"schema_version": 2, "spec": {')  # as a power loss may leave it

    said = kill(tmp_path, lambda: len(headers(out)) == RUNS, *options)
    assert "1 complete run used again, 3 runs left" in said
    assert complete.items() <= headers(out).items()
    assert not (out / REPORT_FILE).exists()
    damaged = records / "two-minimal" / "steps.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-9])

    done = run(tmp_path, *options, "--resume")  # a suite needs no such option, and allows it
    assert 0 == done.returncode, done.stderr
    assert "3 complete runs used again, 1 run left; 1 damaged record made again" in done.stderr
    assert complete.items() <= headers(out).items()
    assert expected == values_in(out)

    for more, words in (
        (("--set", "learning_rate=0.5"), "began, where case.recipe.learning_rate is"),
        (("--loops", "plain"), "holds no run of another command"),
    ):
        refused = run(tmp_path, *options, *more)
        assert 2 == refused.returncode
        (line,) = refused.stderr.splitlines()
        assert words in line
        assert "a new output folder" in line
    assert expected == values_in(out)
