"""Submitted calls run once, before `wait` returns, in either thread."""

from __future__ import annotations

import threading
import time

import pytest

from harness.tracing.reader import Reader


def test_all_submitted_calls_are_complete_after_wait() -> None:
    """Each call runs once, some of them in the waiting thread."""
    reader, done = Reader(), []

    def work(number: int) -> None:
        time.sleep(0.002)
        done.append((number, threading.current_thread().name))

    for round_of in range(2):
        for number in range(20):
            reader.submit(lambda number=number: work(number))  # type: ignore[misc]  # bound now
        reader.wait()
        assert list(range(20)) == sorted(number for number, _ in done)
        assert 2 == len({name for _, name in done}), f"round {round_of}"
        done.clear()
    reader.close()


def test_the_error_of_a_call_is_raised_by_wait() -> None:
    """No error is lost in the thread, and calls after the failure still run."""
    reader, done = Reader(), []

    def fail() -> None:
        raise ZeroDivisionError("planted")

    reader.submit(fail)
    reader.submit(lambda: done.append(1))
    with pytest.raises(ZeroDivisionError, match="planted"):
        reader.wait()
    assert [1] == done
    reader.wait()  # an error is raised once
    reader.close()


def test_a_closed_reader_has_no_thread() -> None:
    """The thread ends; without a submitted call there is none."""
    before = threading.active_count()
    reader = Reader()
    reader.close()
    reader.submit(lambda: None)
    assert before + 1 == threading.active_count()
    reader.close()
    assert before == threading.active_count()
