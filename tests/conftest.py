"""How every test runs: properties are drawn alike on each machine and leave no files behind.

Under several workers the files that take longest come first, so that no worker is left with one at
the end.
"""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from harness.cli import main as cli
from tests.support.answers import Answer, Ask

settings.register_profile("harness", deadline=None, derandomize=True, database=None)
settings.load_profile("harness")
# A shell without job control starts background commands with SIGINT ignored, and so would be all
# commands that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it

LONGEST_FIRST = (
    "tests/scripts/test_scripts.py",
    "tests/regression/test_upgrade.py",
    "tests/docs/test_blocks.py",
    "tests/faults/test_planted_faults.py",
    "tests/execution/test_runner.py",
    "tests/execution/test_nodes.py",
    "tests/training/workloads/test_paraphrase.py",
    "tests/training/loops/test_three_loops.py",
    "tests/benchmark/test_bench.py",
    "tests/execution/test_processes.py",
    "tests/examples/test_notebook.py",
    "tests/regression/test_check_for_real.py",
    "tests/test_installation.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests: the longest files, the others with slow tests, the rest."""
    if not hasattr(config, "workerinput"):  # a single process
        return
    for name in LONGEST_FIRST:
        if not (config.rootpath / name).is_file():
            raise pytest.UsageError(f"LONGEST_FIRST in tests/conftest.py names no file: {name}")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    rank = {config.rootpath / name: place for place, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> int:
        return rank.get(item.path, len(rank) + (item.path not in slow))

    items.sort(key=place)


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Ask]:
    """Runs the command line with these arguments in an empty folder, on wide paper."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "200")
    before = signal.getsignal(signal.SIGTERM)

    def answer(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        capsys.readouterr()
        code = cli.main()
        return Answer(code, *capsys.readouterr())

    yield answer
    signal.signal(signal.SIGTERM, before)
