"""Work that is handed over is done once, before it is waited for, whoever does it."""

from __future__ import annotations

import threading
import time

import pytest

from harness.tracing.reader import Reader


def test_all_that_was_submitted_is_done_when_it_was_waited_for() -> None:
    """Each piece once, some of them by the thread that waits."""
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


def test_what_fails_is_raised_where_it_is_waited_for() -> None:
    """Nothing is lost in a thread, and what came after the failure is done all the same."""
    reader, done = Reader(), []

    def fail() -> None:
        raise ZeroDivisionError("planted")

    reader.submit(fail)
    reader.submit(lambda: done.append(1))
    with pytest.raises(ZeroDivisionError, match="planted"):
        reader.wait()
    assert [1] == done
    reader.wait()  # it is told once
    reader.close()


def test_a_closed_reader_has_no_thread() -> None:
    """Its thread ends, also where nothing was ever submitted."""
    before = threading.active_count()
    reader = Reader()
    reader.close()
    reader.submit(lambda: None)
    assert before + 1 == threading.active_count()
    reader.close()
    assert before == threading.active_count()
