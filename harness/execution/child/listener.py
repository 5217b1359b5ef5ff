"""What a worker does between steps: report to its parent, seal checkpoints, end if required."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from harness.execution.checkpoints import Checkpoints, Seal
from harness.execution.child.process_group import Place
from harness.results.record import Counts, RecordWriter
from harness.spec.case import RunSpec
from harness.tracing.listener import Listener, StopTraining

__all__ = ["Interruption", "Parent", "Saving", "StepListener"]

_PROGRESS_EVERY_S = 0.2


class Parent:
    """The connection to the parent: sends events, answers it, and notices when it is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._sent_at = 0.0
        self._step = 0
        self._thread = threading.get_ident()
        threading.Thread(target=self._answer, daemon=True).start()

    def send(self, event: str, **facts: Any) -> None:
        """Send one event as JSON."""
        with self._lock:
            self._connection.send_bytes(json.dumps({"event": event, **facts}).encode())

    def progress(self, step: int, total: int) -> None:
        """Report a step: at most a few times per second, and always at the end."""
        now = time.monotonic()
        self._step = step
        if step == total or now - self._sent_at >= _PROGRESS_EVERY_S:
            self._sent_at = now
            self.send("step", step=step, total=total)

    def _answer(self) -> None:
        """Answer the only question of the parent: where is this process? End when it ends."""
        try:
            while True:
                self._connection.recv_bytes()
                frame = sys._current_frames().get(self._thread)
                stack = traceback.format_stack(frame) if frame else []
                self.send("where", step=self._step, stack=stack)
        except (EOFError, OSError):
            os._exit(3)


class Interruption:
    """Delays Ctrl-C until the rows of a step are written."""

    def __init__(self) -> None:
        self._wanted = False

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Inside, SIGINT is noted and takes effect after the step, at the latest at the end."""
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
            self.take()
        finally:
            # A launcher sends its processes the signal again. The second one would interrupt the
            # writing of the record.
            signal.signal(signal.SIGINT, signal.SIG_IGN if self._wanted else before)

    def take(self) -> None:
        """Raise KeyboardInterrupt if one was delayed."""
        if self._wanted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True


class Saving:
    """Seals the checkpoints of the loop, and decides when to kill the process to test a resume."""

    def __init__(
        self,
        spec: RunSpec,
        checkpoints: Checkpoints,
        writer: RecordWriter,
        counts: Counts,
        place: Place,
        seal: Seal | None,
    ) -> None:
        self.seal = seal
        """The newest seal of the run."""
        self._spec, self._checkpoints, self._writer = spec, checkpoints, writer
        self._counts, self._place = counts, place
        self._dies_in = None
        if spec.resume_at is not None and seal is None:
            self._dies_in = spec.resume_at + 1

    def must_die(self, step: int) -> bool:
        """Whether to kill the process during update `step`, so that another one resumes."""
        if step != self._dies_in:
            return False
        if self.seal is None:
            raise RuntimeError(
                f"loop {self._spec.loop} cannot be resumed: it reported no checkpoint to the probe"
            )
        return True

    def saved(self, checkpoint: Path) -> None:
        """Seal a checkpoint after all processes have written their parts."""
        self._checkpoints.set_aside(self._place.rank, self._counts, self._writer)
        self._place.meet()
        step = self._counts.steps
        if self._place.rank == 0:
            self.seal = self._checkpoints.seal(checkpoint, self._spec, step, self.seal)
        self._place.meet()
        if self._place.rank != 0:
            self.seal = self._checkpoints.sealed(step)


class StepListener(Listener):
    """Reports progress, and ends the process between steps if the spec or the user requires it."""

    def __init__(
        self,
        parent: Parent,
        expected: int,
        stop_after: int | None,
        interruption: Interruption,
        saving: Saving,
    ) -> None:
        self._parent, self._stop_after = parent, stop_after
        self._total = min(expected, stop_after or expected)
        self._interruption, self._saving = interruption, saving

    def before_step(self, step: int) -> None:
        """Kill this process if a resume is tested at this step."""
        if self._saving.must_die(step):
            self._parent.send("dying")
            os.kill(os.getpid(), signal.SIGKILL)

    def after_step(self, step: int) -> None:
        """Report to the parent; end if the spec or the user requires it."""
        self._parent.progress(step, self._total)
        self._interruption.take()
        if step == self._stop_after:
            raise StopTraining

    def settled(self, settings: dict[str, Any]) -> None:
        """Report the settings to the parent, which compares them with other runs."""
        self._parent.send("settled", settings=settings)

    def saved(self, checkpoint: Path) -> None:
        """See `Saving.saved`."""
        self._saving.saved(checkpoint)
