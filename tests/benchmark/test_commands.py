"""Unchanged commands take turns at the steps of their optimizers."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import psutil
import pytest

from harness.benchmark.bench_commands import bench_in, traced_steps
from harness.benchmark.command_process import GatedCommand, Known, starting_commands
from harness.benchmark.commands import CommandArm, command_arms, command_plan, with_control
from harness.benchmark.result import result_of
from harness.benchmark.session import (
    OutOfTime,
    SessionRequest,
    TrainingEnded,
    Turn,
    run_session,
)
from harness.benchmark.sessions import BenchRequest, Measured, Subject
from harness.errors import HarnessError, RunFailed, SpecError
from harness.results.sessions import FOLDER, Block
from tests.support.bench_sessions import block, sessions
from tests.support.training_scripts import FORKING, write_training

FAR_S = 120.0


def arm(folder: Path, *words: str, name: str = "A") -> CommandArm:
    return CommandArm(name, (sys.executable, *words), folder, dict(os.environ))


def started(command: CommandArm, folder: Path, known: Known | None = None) -> GatedCommand:
    deadline = time.monotonic() + FAR_S
    return GatedCommand(command, folder / "log.txt", FAR_S, deadline, known or Known())


@pytest.mark.slow
def test_a_step_of_an_unchanged_script_waits_for_its_turn(tmp_path: Path) -> None:
    """Five steps were granted after the first, of which four are timed; the rest are not made."""
    write_training(tmp_path)
    known = Known()
    command = started(arm(tmp_path, "train.py", "13"), tmp_path, known)
    try:
        command.ready()
        turn = command.turn(5)
        time.sleep(0.3)

        assert (4, 6) == (turn["steps"], command.made)
        assert "trained" not in (tmp_path / "log.txt").read_text()
        assert 0 < turn["wall_s"] < 0.3
        with pytest.raises(TrainingEnded):
            command.turn(20)
        assert {"A": 13} == known.ended_after
        assert "trained 13" in (tmp_path / "log.txt").read_text()
    finally:
        command.kill()


@pytest.mark.slow
def test_a_session_ends_what_it_started_and_pairs_steps_by_number(tmp_path: Path) -> None:
    """Three arms, three rounds, two steps a turn: 1 + 3 + 3 * 2 = 10 of 10 steps; none is left."""
    write_training(tmp_path)
    arms = with_control(
        [arm(tmp_path, "train.py", "10"), arm(tmp_path, "train.py", "1000", name="B")]
    )
    known = Known(ended_after={"A": 10})
    request = SessionRequest(
        start=starting_commands(arms, tmp_path / "logs", FAR_S, known),
        number=1,
        plan=command_plan(arms),
        seed=0,
        steps=None,
        rounds=None,
        session_s=5.0,
        deadline=time.monotonic() + FAR_S,
        on_round=lambda done, of: None,
        most_steps=known.most_steps,
    )

    session = run_session(request)

    assert session is not None
    assert (3, 2) == (session.rounds, session.steps_per_turn)
    assert ["A", "B", "control"] == sorted({block.arm for block in session.blocks})
    assert {1} == {block.steps for block in session.blocks}
    assert {"A": 10} == known.ended_after
    left = [p for p in psutil.Process().children(recursive=True) if "train.py" in _words(p)]
    assert [] == left


class Timed:
    """Takes its turns at once, until `turns` of them were taken by all together."""

    def __init__(self, name: str, left: list[int]) -> None:
        self.name, self.left = name, left

    def first_step_s(self) -> float | None:
        return None

    def turn(self, steps: int) -> Turn:
        return {"steps": steps, "wall_s": 0.1 * steps, "delay_s": 0.0}

    def block(self, steps: int, number: int, position: int) -> Block:
        if not self.left[0]:
            raise OutOfTime
        self.left[0] -= 1
        return block(self.name, number)


@pytest.mark.parametrize(
    ("turns", "asked", "rounds"),
    [(2, 1, None), (3, 1, 1), (5, 2, None), (8, None, None), (9, None, 3), (17, None, 3)],
)
def test_a_session_out_of_time_holds_whole_sets_of_rounds_or_is_none(
    turns: int, asked: int | None, rounds: int | None
) -> None:
    """Three arms need nine turns; two turns of a first round are no session of two arms."""
    left = [turns]
    arms = {name: Timed(name, left) for name in ("plain", "control", "other")}
    request = SessionRequest(
        start=lambda phase, deadline: nullcontext(arms),
        number=1,
        plan="a plan",
        seed=0,
        steps=4,
        rounds=asked,
        session_s=60.0,
        deadline=time.monotonic() + FAR_S,
        on_round=lambda done, of: None,
    )

    session = run_session(request)

    assert rounds == (session and session.rounds)
    if session is not None:
        assert {3} == set(Counter(one.round for one in session.blocks).values())


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.slow
def test_the_lengths_of_scripts_are_found_and_reported(tmp_path: Path) -> None:
    """A makes 20 steps and B 16: the first session learns both, and a line tells the reader."""
    write_training(tmp_path)
    both = [arm(tmp_path, "train.py", "20"), arm(tmp_path, "train.py", "16", name="B")]

    found = bench_in(
        both,
        BenchRequest(budget_s=FAR_S, sessions=3, beside="nothing"),
        tmp_path / "out",
        time.monotonic(),
        lambda text: None,
        {},
    )

    (line,) = (note for note in found.remarks if "only steps" in note)
    assert "A makes 20 steps" in line
    assert "B makes 16 steps" in line
    assert "control" not in line
    assert found.result is not None
    assert 3 == found.result.sessions == len(list((tmp_path / "out" / FOLDER).iterdir()))
    assert found.result.arms[0].samples_per_s is None
    assert found.result.arms[0].step_s > 0
    assert any("the commands are short" in note for note in found.remarks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("-c", "import torch"), SpecError, "no optimizer of torch.optim made a step"),
        (("-c", "import torch; raise SystemExit(4)"), RunFailed, "exit code 4"),
        (("forking.py",), SpecError, "trains in 2 or more"),
        (("train.py", "8"), SpecError, "needs 10 steps of each (met A makes 8)"),
    ],
)
def test_what_cannot_take_turns_is_refused_in_one_line(
    words: tuple[str, ...], error: type[HarnessError], message: str, tmp_path: Path
) -> None:
    """And the other commands are ended."""
    write_training(tmp_path)
    write_training(tmp_path, "forking.py", FORKING)
    arms = with_control([arm(tmp_path, *words), arm(tmp_path, "train.py", "9999", name="B")])
    start = starting_commands(arms, tmp_path / "logs", FAR_S, Known())

    def take_turns() -> None:
        with start("session 1", time.monotonic() + FAR_S) as processes:
            while True:
                for process in processes.values():
                    process.turn(6)

    with pytest.raises(error) as caught:
        take_turns()

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_command_that_makes_no_step_until_the_deadline_is_named(tmp_path: Path) -> None:
    known = Known()
    start = starting_commands([arm(tmp_path, "-c", "input()")], tmp_path, FAR_S, known)
    waiting = starting_commands(
        [arm(tmp_path, "-c", "import time; time.sleep(60)")], tmp_path, FAR_S, known
    )

    with pytest.raises(OutOfTime), waiting("session 1", time.monotonic() + 0.5):
        pass
    assert {"A"} == known.waited_s.keys()
    with pytest.raises(RunFailed), start("session 2", time.monotonic() + FAR_S):
        pass  # there is no input, so it fails


@pytest.mark.slow
def test_traced_steps_show_whether_two_commands_compute_the_same(tmp_path: Path) -> None:
    """Another learning rate is different from step 1; another number of steps is not."""
    write_training(tmp_path)
    arms = [
        arm(tmp_path, "train.py", "100"),
        arm(tmp_path, "train.py", "200", name="B"),
        arm(tmp_path, "train.py", "100", "0.2", name="C"),
    ]

    traced = traced_steps(arms, tmp_path / "out", FAR_S)
    found = bench_in(
        arms,
        BenchRequest(budget_s=0.0),
        tmp_path / "out",
        time.monotonic(),
        lambda text: None,
        traced,
    )

    assert [8, 8, 8] == [record.header.steps for _, record in found.records]
    assert ["incomparable", "incomparable"] == [pair.outcome for pair in found.comparisons]
    same, other = (pair.doubts[0] for pair in found.comparisons)
    assert "no session fits into 0 s; raise the budget; values: identical" == same
    assert "values: different from step 1, learning_rate" in other


@pytest.mark.parametrize(("slower", "outcome"), [(1.0, "equivalent"), (1.1, "slower")])
def test_a_planted_slowdown_is_called_and_identical_commands_are_not(
    slower: float, outcome: str
) -> None:
    """From stored times: five sessions that vary by half a percent, with 0% and 10% planted."""
    wobble = (1.0, 1.005, 0.995, 1.002, 0.998)
    ratios = {"control": wobble[::-1], "B": [slower * each for each in wobble]}
    names = ["plain", "control", "B"]
    subject = Subject("commands", names, "cpu", "a plan", 0, _never, lambda: None)

    (pair,), result = result_of(
        subject,
        Measured(sessions(ratios), "a test"),
        BenchRequest(),
        {},
        list,
        None,
        1.0,
    )

    assert outcome == pair.outcome
    assert result is not None
    assert pair.findings[0].ratio == pytest.approx(slower, rel=0.01)


def _never(where: str, deadline: float) -> AbstractContextManager[dict[str, GatedCommand]]:
    raise AssertionError


@pytest.mark.parametrize(
    ("scripts", "names"),
    [
        (("one.py", "two.py"), ["one", "two"]),
        (("one.py", "one.py"), ["A", "B"]),
        (("control.py", "one.py"), ["A", "B"]),
        (("-c", "one.py"), ["A", "B"]),
    ],
)
def test_commands_are_named_after_their_scripts_or_by_letters(
    scripts: tuple[str, str], names: list[str]
) -> None:
    found = command_arms([[sys.executable, script] for script in scripts])

    assert names == [each.name for each in found]
    assert (sys.executable, scripts[0]) == found[0].words


def test_one_command_is_no_comparison() -> None:
    with pytest.raises(SpecError, match="compares two or more"):
        command_arms([[sys.executable, "one.py"]])
