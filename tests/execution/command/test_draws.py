"""Pairs of commands that differ by rounding are within noise; the same pairs with a fault are not.

Every agreement stands beside a planted fault in the same pair of commands.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.comparison.compare_folders import compare_folders
from harness.execution.command.draws import Drawn, draw
from harness.execution.command.launch import End
from harness.execution.command.parts import Recorded
from harness.execution.command.trace import Traced as TracedCommand
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec.command import CommandSpec
from tests.support.forked_python import forked_python

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("noisy_train.py")
DRAWS = 6
Traced = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all traces."""
    return tmp_path_factory.mktemp("noise")


@pytest.fixture(scope="module")
def trace(work: Path) -> Iterator[Traced]:
    """Traces the program with some options into a folder of this name."""
    with tempfile.TemporaryDirectory() as short, forked_python(Path(short)) as programs:
        path = os.pathsep.join(
            [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        variables = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}

        def traced(
            name: str, *options: str, noise: int | None = 0
        ) -> subprocess.CompletedProcess[str]:
            words = [str(programs / "python"), "-m", "harness", "trace", "--out", name]
            words += [] if noise is None else ["--noise", str(noise)]
            words += ["--", "python", str(PROGRAM), *options]
            return subprocess.run(
                words, cwd=work, env=variables, capture_output=True, text=True, check=False
            )

        yield traced


@pytest.fixture(scope="module")
def reference(work: Path, trace: Traced) -> Path:
    """The reference with its draws."""
    done = trace("reference", noise=DRAWS)
    assert 0 == done.returncode, done.stderr
    assert (
        f"harness: draw 1 of {DRAWS} begins; its output goes to reference/draws/1.log"
        in done.stderr
    )
    assert f"harness: {DRAWS} draws of the noise band made\n" in done.stderr
    return work / "reference"


def compared(
    one: Path, two: Path, noise: Path | None = None, renames: tuple[tuple[str, str], ...] = ()
) -> Comparison:
    """The comparison of two traces, with the noise of the first."""
    out = two.with_name(f"{two.name}-against-{one.name}{time.monotonic_ns()}")
    report, _ = compare_folders(one, two, out, ["harness"], noise=noise or one, renames=renames)
    (found,) = report.comparisons
    return found


HALVES = ("--batch", "4", "--accumulate", "2")


@pytest.mark.parametrize(
    ("name", "options", "faults"),
    [
        ("halves", HALVES, ("rate", "dropped", "sum", "decay", "scaled")),
        ("fused", ("--flavour", "fused"), ("rate", "decay", "scaled")),
        ("loop", ("--flavour", "loop"), ("decay",)),
        ("threads", ("--threads", "2"), ("decay", "scaled")),
    ],
)
def test_rounding_is_within_noise_and_each_planted_fault_is_not(
    name: str, options: tuple[str, ...], faults: tuple[str, ...], trace: Traced, reference: Path
) -> None:
    """A batch of 8 or two of 4, another flavour of AdamW, another number of threads."""
    clean = trace(name, *options)
    assert 0 == clean.returncode, clean.stderr
    found = compared(reference, reference.with_name(name))
    assert found.outcome in ("within_noise", "identical"), found
    if name == "halves":
        assert "within_noise" == found.outcome
        assert any("divide an update into micro-batches differently" in s for s in found.alignment)
    for fault in faults:
        trace(f"{name}-{fault}", *options, "--fault", fault)
        wrong = compared(reference, reference.with_name(f"{name}-{fault}"))
        assert (fault, "different") == (fault, wrong.outcome)


def test_other_names_of_parameters_do_not_change_the_outcome(
    trace: Traced, reference: Path
) -> None:
    """The sketches of a tensor do not depend on its name."""
    renames = tuple((f"my_{part}", part) for part in ("words", "encoder", "head"))
    for fault, outcome in (("", "within_noise"), ("decay", "different")):
        name = f"renamed{fault}"
        trace(name, *HALVES, "--names", "my_", "--fault", fault)
        found = compared(reference, reference.with_name(name), renames=renames)
        assert (fault, outcome) == (fault, found.outcome)


def test_a_draw_is_the_command_moved_by_one_unit_in_the_last_place(
    trace: Traced, reference: Path
) -> None:
    """Its random numbers, batches and rates are those of the command; so is the command itself."""
    trace("alone", noise=None)
    plain = RunRecord(reference.with_name("alone") / "records" / "noisy_train")
    record = RunRecord(reference / "records" / "noisy_train")
    assert plain.steps.equals(record.steps)
    draws = sorted((reference / "records").glob("noisy_train-weights-*"))
    assert DRAWS == len(draws)
    digests = {record.header.initial_weights}
    for folder in draws:
        draw = RunRecord(folder)
        digests.add(draw.header.initial_weights)
        for column in ("rows", "batch_content", "rng"):
            assert record.micro_batches[column].equals(draw.micro_batches[column]), column
        assert record.steps["learning_rate"].equals(draw.steps["learning_rate"])
    assert DRAWS + 1 == len(digests)


def test_a_pair_without_noise_stays_different_and_a_candidate_without_sketches_is_refused(
    trace: Traced, reference: Path, work: Path
) -> None:
    """Without draws nothing is called noise."""
    trace("bare", *HALVES, noise=None)
    found = compared(reference, work / "bare")
    assert "inconclusive" == found.outcome
    assert any("trace a candidate with --noise 0" in doubt for doubt in found.doubts)
    report, _ = compare_folders(reference, work / "bare", work / "without", ["harness"])
    assert "different" == report.comparisons[0].outcome


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("unseeded", ("--seed", "none"), "a draw repeats its command except for rounding"),
        ("once", ("--once", "there"), "draw 1 failed: exit code 1, FileExistsError"),
    ],
)
def test_a_command_that_does_not_repeat_itself_has_no_draws(
    name: str, options: tuple[str, ...], why: str, trace: Traced, work: Path
) -> None:
    """The reason is told, no more draws are made, and the exit code is that of the command."""
    done = trace(name, *options, noise=8)
    assert 0 == done.returncode
    assert why in done.stderr
    assert "harness: 0 draws of the noise band made; draw 1 failed: " in done.stderr
    assert "draw 2 of" not in done.stderr


def test_weights_of_a_lower_precision_have_no_band(trace: Traced, work: Path) -> None:
    """One unit of bf16 says nothing about sums in other orders; the pair is inconclusive."""
    trace("lower", "--dtype", "bfloat16", noise=4)
    trace("lower-halves", "--dtype", "bfloat16", *HALVES)
    found = compared(work / "lower", work / "lower-halves")
    assert "inconclusive" == found.outcome
    assert any("arithmetic in float32 (met bfloat16" in doubt for doubt in found.doubts)


def test_a_command_that_fails_has_no_draws(trace: Traced) -> None:
    done = trace("fails", "--batch", "0", noise=8)
    assert 1 == done.returncode
    assert (
        "0 draws of the noise band made; no draws are made of a command that did not" in done.stderr
    )


def test_ctrl_c_keeps_the_draws_so_far(work: Path) -> None:
    """The command and its draws stay, the unfinished draw does not; exit code 3."""
    words = [sys.executable, "-m", "harness", "trace", "--noise", "8", "--out", "stopped", "--"]
    words += [sys.executable, str(PROGRAM)]
    with subprocess.Popen(
        words,
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as started:
        assert started.stderr is not None
        lines = []
        for line in started.stderr:
            lines.append(line)
            if "draw 2 of 8 begins" in line:
                os.killpg(started.pid, signal.SIGINT)
    assert 3 == started.returncode
    told = " ".join("".join(lines).split())  # in lines of 80 columns
    assert "1 draw of the noise band made; draw 2 was stopped by the user" in told
    kept = sorted(path.name for path in (work / "stopped" / "records").iterdir())
    assert ["noisy_train", "noisy_train-weights-1"] == kept
    assert (work / "stopped" / "report.json").is_file()


def test_ctrl_c_before_the_command_of_a_draw_starts_stops_that_draw(
    trace: Traced, work: Path
) -> None:
    """The line that announces a draw is printed before its command starts."""
    assert 0 == trace("early").returncode
    (found,) = (work / "early" / "records").iterdir()
    ended = TracedCommand(End(0, [], 1.0), [Recorded(RunRecord(found), ("Model",))], (), True)
    heard = []

    def tell(line: str) -> None:
        heard.append(line)
        raise KeyboardInterrupt

    spec = CommandSpec(name="noisy_train", command=(sys.executable, str(PROGRAM)))
    made = draw(spec, ended, work / "early", 8, tell, lambda first, second: None)
    assert Drawn(0, "draw 1 was stopped by the user", interrupted=True) == made
    assert 1 == len(heard)
