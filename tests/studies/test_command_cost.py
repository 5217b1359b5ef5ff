"""The cost of tracing a command: the arithmetic by hand, and turns with scripts that only wait."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from harness.errors import RunFailed
from studies import command_cost
from studies.command_cost import Answer, Session, costs, run_session

TURNS = """
import json, os, sys, time
with open(os.environ["TURN_GO"]) as go, open(os.environ["TURN_DONE"], "w") as done:
    while (steps := int(go.readline() or 0)) > 0:
        began = time.monotonic()
        time.sleep(0.02)
        with open(os.environ["TOGETHER"], "a") as together:
            together.write(f"{steps} {began} {time.monotonic()}\\n")
        done.write(json.dumps([0.02, 0.0, 0.01, 0.5, 1.0]) + "\\n")
        done.flush()
"""


def session(ratios: list[float], loss: float = 0.5) -> Session:
    """Rounds in which the full trace takes `ratios` times the 2 s of the untraced command.

    Both waited half a second more for a core, and used 3 s of CPU.
    """

    def answer(own_s: float, loss: float) -> Answer:
        return Answer(own_s + 0.5, 0.5, 3.0, loss, 10.0)

    rounds = [{"alone": answer(2.0, 0.5), "full": answer(2.0 * each, loss)} for each in ratios]
    return Session({"alone": 4.0, "full": 5.0}, {"alone": 3.0, "full": 3.5}, rounds)


def test_a_ratio_is_the_geometric_mean_over_rounds() -> None:
    """Own time is wall time without waiting: 1.02 and 1.08 give 1.0496. Wall: 2.54 s, 2.66 s."""
    row = costs([session([1.02, 1.08])])["full"]

    assert (1.02 * 1.08) ** 0.5 == pytest.approx(row["own"]["ratio"])
    assert (2.54 * 2.66) ** 0.5 / 2.5 == pytest.approx(row["wall"]["ratio"])
    assert 1.0 == row["cpu"]["ratio"]
    assert (5.0, 3.5) == (row["start_s"], row["start_cpu_s"])


def test_a_ratio_to_both_untraced_commands_halves_their_difference() -> None:
    """One takes 2 s, the other 2.42 s: their geometric mean is 2.2 s, and 2.2 s costs nothing."""
    found = session([1.1, 1.1])
    for each in found.rounds:
        each["alone again"] = Answer(2.92, 0.5, 3.0, 0.5, 10.0)
    found.start_s["alone again"] = found.start_cpu_s["alone again"] = 1.0
    row = costs([found])["full"]

    assert pytest.approx(1.0) == row["own_of_both"]["ratio"]
    assert pytest.approx(1.1) == row["own"]["ratio"]


@pytest.mark.parametrize(
    ("ratios", "judged"),
    [
        ([1.03, 1.031, 1.032], "holds"),
        ([1.08, 1.081, 1.082], "broken"),
        ([1.0, 1.04, 1.08], "not shown"),
    ],
)
def test_a_limit_holds_only_if_the_whole_interval_lies_below_it(
    ratios: list[float], judged: str
) -> None:
    assert judged == costs([session(ratios)])["full"]["judged"]


def test_an_arm_that_trains_something_else_is_noticed() -> None:
    rows = [costs([session([1.0, 1.0, 1.0], loss)])["full"] for loss in (0.5, 0.6)]

    assert [True, False] == [row["same_losses"] for row in rows]


def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, arms: int) -> Session:
    """A session of arms that run a script with this text."""
    script = tmp_path / "turns.py"
    script.write_text(text)
    monkeypatch.setattr(command_cost, "_SCRIPT", script)
    names = {f"arm {number}": [sys.executable] for number in range(arms)}
    variables = {"TOGETHER": str(tmp_path / "together")}
    return run_session(names, tmp_path / "session", variables, 3, 0.3, 1)


def test_only_one_arm_computes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their blocks follow one another, and each round holds one block of each arm."""
    found = waiting(tmp_path, monkeypatch, TURNS, 3)
    blocks = [line.split() for line in (tmp_path / "together").read_text().splitlines()]
    times = [(float(began), float(ended)) for _, began, ended in blocks]

    assert times == sorted(times)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(times))
    assert ["1"] * 6 + ["3"] * (3 * len(found.rounds)) == [steps for steps, _, _ in blocks]
    assert {"arm 0", "arm 1", "arm 2"} == set(found.rounds[0])
    assert ["arm 1", "arm 2", "arm 0"] == list(found.rounds[0])
    assert ["arm 2", "arm 0", "arm 1"] == list(found.rounds[1])


def test_a_script_that_fails_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunFailed, match="no such loss"):
        waiting(tmp_path, monkeypatch, "raise SystemExit('no such loss')", 1)
