"""The time that is left, calculated by hand."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.execution.parent import progress
from harness.execution.parent.runner import Run
from harness.execution.parent.time_left import TimeLeft
from harness.spec import registry
from harness.units import about


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def tell(left: TimeLeft, number: int, *names: str) -> None:
    """Events of one run."""
    for name in names:
        left.note(number, {"event": name, "step": 1, "total": 1})


def test_nothing_is_estimated_without_a_finished_run(clock: Clock) -> None:
    """A run that was refused before its first step ended, and says nothing about the others."""
    left = TimeLeft(3)
    tell(left, 0, "building", "step")
    clock.now = 60.0
    assert "" == left.text()
    tell(left, 1, "building", "refused", "ended")
    assert (1, None) == (left.ended, left.seconds())
    tell(left, 0, "completed", "ended")
    assert 60.0 == left.seconds()
    tell(left, 2, "building", "step", "ended")
    assert "" == left.text()  # nothing is left


def test_runs_left_take_as_long_as_finished_ones(clock: Clock) -> None:
    """One at a time: runs of 10 and 20 s, then 15 s for each of the other three."""
    left = TimeLeft(5)
    for number, until in enumerate((10.0, 30.0)):
        tell(left, number, "building", "step")
        clock.now = until
        tell(left, number, "ended")
    assert 45.0 == left.seconds()
    tell(left, 2, "building", "step")
    clock.now = 36.0
    assert 9.0 + 30.0 == left.seconds()
    clock.now = 90.0  # it takes longer than expected: nothing is negative
    assert 30.0 == left.seconds()


def test_as_many_run_at_a_time_as_now(clock: Clock) -> None:
    """Two at a time, 10 s each: of 10 runs, 8 are left, two of them for 5 s already."""
    left = TimeLeft(10)
    for number in (0, 1):
        tell(left, number, "building", "step")
    clock.now = 10.0
    for number in (0, 1):
        tell(left, number, "ended")
        tell(left, number + 2, "building", "step")
    clock.now = 15.0
    assert (2 * 5.0 + 6 * 10.0) / 2 == left.seconds()


def test_the_last_of_several_decides(clock: Clock) -> None:
    """What is under way longest cannot be shared."""
    left = TimeLeft(3)
    tell(left, 0, "building", "step")
    tell(left, 1, "building", "step")
    clock.now = 10.0
    tell(left, 0, "ended")
    tell(left, 2, "building", "step")
    assert 10.0 == left.seconds()  # one is due now, the other in 10 s: not 5 s


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "about 0 s"),
        (4.04, "about 4 s"),
        (47.6, "about 48 s"),
        (118.0, "about 2 min"),
        (754.0, "about 12 min"),
        (3590.0, "about 1 h"),
        (7824.0, "about 2 h 10 min"),
        (90_000.0, "about 25 h"),
    ],
)
def test_an_estimate_has_two_digits(seconds: float, text: str) -> None:
    assert text == about(seconds)


def planned() -> list[Run]:
    case = registry.cases()["paraphrase"]
    other = case.model_copy(update={"name": "other"})
    specs = [registry.run_spec(each, "plain") for each in (case, other)]
    return [Run(spec, Path(spec.case.name)) for spec in specs]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_suite_shows_the_time_that_is_left(terminal: bool, clock: Clock) -> None:
    """On a terminal in the bar for all runs, in a log in its lines; neither before a run ended."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, color_system=None)
    with progress.bars(planned(), console) as show:
        show(0, {"event": "building"})
        clock.now = 30.0
        show(0, {"event": "step", "step": 1, "total": 2})
        assert "left" not in output.getvalue()
        show(0, {"event": "ended"})
        show(1, {"event": "building"})
        clock.now = 42.0
        show(1, {"event": "step", "step": 1, "total": 2})
    text = output.getvalue()
    if not terminal:
        assert (
            text.splitlines()[-1] == "other plain: step 1 of 2, 1 of 2 runs ended, about 18 s left"
        )
    assert "about 18 s left" in text
