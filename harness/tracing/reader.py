"""Reads memory on another core while the training continues.

Digests and norms release the interpreter's lock, so a second thread on an idle core costs little
more than memory bandwidth. The memory must not change until it is read: the caller waits for its
work before the training may write there. The result does not depend on the thread or on the time.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

__all__ = ["Reader"]


class _Task:
    """A call that is made once, by the first thread that takes it."""

    __slots__ = ("_done", "_run", "error")

    def __init__(self, run: Callable[[], None]) -> None:
        self._run: Callable[[], None] | None = run
        self._done = _thread.allocate_lock()
        self._done.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        assert self._run is not None  # a task is taken from the queue once
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # raised again in `Reader.wait`
            self.error = error
        finally:
            self._run = None  # releases the memory that it refers to
            self._done.release()

    def wait(self) -> BaseException | None:
        with self._done:
            return self.error


class Reader:
    """Runs submitted calls in a second thread; the thread that waits for them helps."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._submitted: list[_Task] = []
        self._thread: threading.Thread | None = None

    def submit(self, run: Callable[[], None]) -> None:
        """Have `run` called before the next `wait` returns, perhaps at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
            self._thread.start()
        task = _Task(run)
        self._submitted.append(task)
        self._queue.put(task)

    def wait(self) -> None:
        """Wait until all submitted calls are complete. Raises the first error of a call."""
        try:
            while (task := self._queue.get_nowait()) is not None:
                task.run()
        except Empty:
            pass
        submitted, self._submitted = self._submitted, []
        errors = [task.wait() for task in submitted]
        for error in filter(None, errors):
            raise error

    def close(self) -> None:
        """End the thread after all submitted calls."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            task.run()
