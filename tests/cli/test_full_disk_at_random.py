"""The disk filled at 20 random moments of whole commands: one line, exit code 3, nothing false.

A file system that is smaller than the results makes the moment. Its size is drawn.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.regression.accept import accept
from harness.report.write import FORMATS
from tests.support.answers import Answer, Ask, pair
from tests.support.check_world import sound
from tests.support.made_up_runs import bench_folder
from tests.support.training_scripts import TRAINING

TINY = [word for x in ("eval_rows=16", "train_rows=32", "max_steps=3") for word in ("--set", x)]
LOOPS = ["-q", "--loops", "plain,minimal", *TINY]
PAGE_KIB = 4
COMMANDS = {
    "compare": (["one", "two"], 24, 10),
    "trace": ([], 12, 4),
    "run": (LOOPS, 40, 2),
    "bench": ([*LOOPS, "--budget", "20", "--beside", "equality"], 14, 2),
    "check": ([*LOOPS, "--baseline", "baselines", "--exact-only"], 28, 2),
}
"""By command: its words, the pages of memory that are too few for its results, and how many
moments are drawn."""
DRAWN = random.Random(20)
MOMENTS = [
    (command, pages)
    for command, (_, most, count) in COMMANDS.items()
    for pages in sorted(DRAWN.sample(range(1, most), count))
]


@contextmanager
def disk_of(pages: int, folder: Path) -> Iterator[Path]:
    """A file system of this size, where mounting is permitted."""
    folder.mkdir()
    size = f"size={pages * PAGE_KIB}k"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def answer(command: str, out: Path, work: Path, ask: Ask) -> Answer:
    """How a command ends that writes to `out`. `compare` runs in this process: it has no worker."""
    words, _, _ = COMMANDS[command]
    if command == "compare":
        return ask(command, *(work / name for name in words), "--out", out)
    after = ["--", sys.executable, "train.py", "20"] if command == "trace" else []
    done = subprocess.run(
        [sys.executable, "-m", "harness", command, *words, "--out", str(out), *after],
        capture_output=True, text=True, timeout=300, cwd=work,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two records, a baseline and a script."""
    pair(tmp_path)
    accept(bench_folder(tmp_path / "accepted", sound()), tmp_path / "baselines", "for tests")
    (tmp_path / "train.py").write_text(TRAINING, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("command", "pages"), MOMENTS)
def test_a_disk_that_fills_ends_a_command_in_one_line(
    command: str, pages: int, work: Path, ask: Ask
) -> None:
    """Exit code 3; no page, no plot, no trace without its header, no broken JSON."""
    with disk_of(pages, work / "disk") as disk:
        done = answer(command, disk / "out", work, ask)
        printed = "trained 20\n" if command == "trace" else ""
        assert (3, printed, 1) == (done.code, done.out, len(done.err.splitlines())), done
        assert "results need space on the disk" in done.err
        files = [path for path in disk.rglob("*") if path.is_file()]
        assert not {*FORMATS.values()} & {path.name for path in files}
        for path in files:
            assert path.suffix != ".svg"
            assert path.suffix != ".parquet" or (path.parent / "record.json").is_file()
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_disk_that_is_large_enough_is_no_fault(work: Path, ask: Ask) -> None:
    """Control."""
    with disk_of(100, work / "disk") as disk:
        assert 0 == answer("compare", disk / "out", work, ask).code
        pages = {"report.html", "report.json", "report.md"}
        assert pages <= {*FORMATS.values()} & {path.name for path in (disk / "out").iterdir()}


def test_twenty_moments_are_drawn() -> None:
    """Of five commands."""
    assert 20 == len(set(MOMENTS))
