"""Training scripts of other people, traced unchanged, and compared with themselves and their twins.

Each program is traced once by the real command line in fresh interpreters. Its second trace, its
twins and its run without the harness are forked from a process that has imported the libraries
already. That the two ways of starting agree bit for bit is part of what is tested.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from tests.scripts.twins import SCRIPTS, Script, Twin, plant
from tests.support.forked_python import forked_python

pytestmark = pytest.mark.slow

TWINS = [(script, twin) for script in SCRIPTS for twin in script.twins]
ROOT = Path(__file__).parents[2]
LIMIT_S = 300
# What the harness does wrong today: each entry goes when the fault is mended. Expectations stay.
FRESH = ("course_pytorch", "trl_sft", "ddp", "from_shell", "notebook", "siamese")
"""Scripts whose first trace starts new interpreters; the others are forked, which is quicker."""
# Times that the Trainer prints.
CLOCK = re.compile(r"'\w+(_runtime|_per_second)': '?[\d.e+-]+'?")


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    exit_code: int
    output: str
    errors: str
    folder: Path
    """The output folder of the harness."""

    @property
    def record(self) -> RunRecord:
        """Its record, which is the only one."""
        assert self.exit_code == 0, self.errors
        folders = sorted((self.folder / "records").iterdir())
        assert 1 == len(folders), self.errors
        return RunRecord(folders[0])


class Commands:
    """Runs the programs; each once in each way."""

    def __init__(self, folder: Path, programs: Path) -> None:
        """`programs`: the folder of the `python` that forks."""
        self._folder, self._programs = folder, programs
        self.run = cache(self._run)

    def _run(
        self, script: Script, twin: Twin | None, *, traced: bool = True, again: bool = False
    ) -> Ended:
        fresh = script.name in FRESH and traced and not (twin or again)
        fresh = fresh or script.processes > 1  # gloo may hang in processes that were forked
        ways = [twin.name if twin else script.name, "traced" * traced, "again" * again]
        folder = self._folder / "-".join(filter(None, ways))
        tree, out = plant(twin, folder / "tree"), folder / "out"
        python = sys.executable if fresh else str(self._programs / "python")
        words = list(script.command)
        if traced:
            words = [python, "-m", "harness", "trace", "--out", str(out), "--", *words]
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        if not fresh:
            path.insert(0, str(self._programs))
            environment["PYTHON_EXEC"] = python  # what torchrun starts
        environment["PATH"] = ":".join(path)
        ended = subprocess.run(
            words, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
        return Ended(ended.returncode, CLOCK.sub("", ended.stdout), ended.stderr, out)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    assert {*FRESH} <= {script.name for script in SCRIPTS}
    with (
        tempfile.TemporaryDirectory() as short,
        forked_python(Path(short)) as programs,
    ):
        yield Commands(tmp_path_factory.mktemp("commands"), programs)


def compared(one: Ended, other: Ended) -> Comparison:
    return compare(one.record, other.record, ("one", "other"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_traced_whole_and_is_identical_with_itself(
    script: Script, commands: Commands
) -> None:
    first = commands.run(script, None)
    second = commands.run(script, None, again=True)
    header = first.record.header

    assert ("completed", None) == (header.status, header.probe_fault)
    assert script.updates == header.steps
    assert script.processes == header.spec.processes
    assert len(script.unseen) == len(header.unseen), header.unseen
    for words, sentence in zip(script.unseen, header.unseen, strict=True):
        assert words in sentence
    found = compared(first, second)
    assert found.first_divergence is None, found.first_divergence
    assert ("inconclusive" if script.unseen else "identical") == found.outcome, found.doubts
    assert script.updates == found.steps


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_output_and_exit_code_are_those_of_the_command_alone(
    script: Script, commands: Commands
) -> None:
    alone = commands.run(script, None, traced=False)
    traced = commands.run(script, None)

    assert (0, 0) == (alone.exit_code, traced.exit_code), alone.errors + traced.errors
    assert alone.output == traced.output
    assert "harness" not in traced.output


@pytest.mark.parametrize(
    ("script", "twin"), [pytest.param(*pair, id=pair[1].name) for pair in TWINS]
)
def test_a_twin_differs_where_its_fault_first_shows(
    script: Script, twin: Twin, commands: Commands
) -> None:
    found = compared(commands.run(script, None), commands.run(script, twin))

    assert "different" == found.outcome, found.doubts
    assert found.first_divergence is not None
    first = (found.first_divergence.step, found.first_divergence.stage)
    assert (twin.step, twin.stage) == first, found.first_divergence
