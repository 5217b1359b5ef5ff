"""An error is one line: the rule, the value met, the remedy."""

import pytest

from harness.errors import (
    HarnessError,
    LoopUnavailable,
    RecordError,
    RunFailed,
    SpecError,
    unknown_name,
)


def test_an_error_gives_rule_value_and_remedy() -> None:
    """The three stand in this order."""
    assert "steps are positive (met -1): pass 1 or more" == str(
        SpecError("steps are positive", -1, "pass 1 or more")
    )


def test_value_and_remedy_may_be_absent() -> None:
    """Nothing stands for what is not known."""
    assert "it broke" == str(RunFailed("it broke"))
    assert "it broke (met 0)" == str(RunFailed("it broke", 0))


def test_an_error_is_one_line_whatever_the_value() -> None:
    """Line breaks of a value are folded."""
    assert "rule (met a b): do c" == str(HarnessError("rule", "a\n  b", "do\nc"))


@pytest.mark.parametrize("kind", [SpecError, LoopUnavailable, RecordError, RunFailed])
def test_every_error_is_of_the_tree(kind: type[HarnessError]) -> None:
    """One `except HarnessError` catches whatever is raised on purpose."""
    assert issubclass(kind, HarnessError)
    assert not issubclass(HarnessError, kind)


def test_an_unavailable_loop_is_wrong_use() -> None:
    """What is missing here is told as wrong use is, unlike a run that failed."""
    assert issubclass(LoopUnavailable, SpecError)
    assert not issubclass(RunFailed, SpecError)


def test_an_unknown_name_gets_the_nearest_known() -> None:
    """All known names are listed, and the nearest is proposed."""
    error = unknown_name("loop", "trainr", ["plain", "trainer"])

    assert isinstance(error, SpecError)
    assert "unknown loop (met 'trainr'): did you mean 'trainer'? known: plain, trainer" == str(
        error
    )


def test_a_name_near_to_nothing_gets_no_proposal() -> None:
    """Where nothing is near, only the list is given."""
    error = unknown_name("loop", "zzz", ["plain"], RecordError)

    assert isinstance(error, RecordError)
    assert "unknown loop (met 'zzz'): known: plain" == str(error)
