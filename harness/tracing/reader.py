"""Reads memory on another core while the training goes on.

Digests and norms leave the interpreter's lock, so a second thread takes them for the price of the
memory's bandwidth where a core is idle. What is read must not change until it was: whoever submits
work waits for it before the training may write there. Which thread does a piece of work, and when,
has no part in its result.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

__all__ = ["Reader"]


class _Work:
    """Something to be done once, by whoever takes it first."""

    __slots__ = ("_do", "_over", "error")

    def __init__(self, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do
        self._over = _thread.allocate_lock()
        self._over.acquire()
        self.error: BaseException | None = None

    def do(self) -> None:
        assert self._do is not None  # whoever does it took it from the queue
        try:
            self._do()
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            self.error = error
        finally:
            self._do = None  # nor is the memory kept that it was to read
            self._over.release()

    def wait(self) -> BaseException | None:
        with self._over:
            return self.error


class Reader:
    """Does what it is given in a thread of its own; the thread that waits lends a hand."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._submitted: list[_Work] = []
        self._thread: threading.Thread | None = None

    def submit(self, do: Callable[[], None]) -> None:
        """Have `do` called at some time before the next `wait` returns, perhaps at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
            self._thread.start()
        work = _Work(do)
        self._submitted.append(work)
        self._queue.put(work)

    def wait(self) -> None:
        """Until all that was submitted is done. Raises what a piece of work raised."""
        try:
            while (work := self._queue.get_nowait()) is not None:
                work.do()
        except Empty:
            pass
        submitted, self._submitted = self._submitted, []
        errors = [work.wait() for work in submitted]
        for error in filter(None, errors):
            raise error

    def close(self) -> None:
        """End the thread, once it has done what was submitted."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work.do()
