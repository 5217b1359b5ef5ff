"""What a worker does between steps: tell its parent, seal checkpoints, end where asked to."""

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
from harness.tracing.hooks import Listener, StopTraining

__all__ = ["Interruption", "Parent", "Saving", "StepListener"]

_PROGRESS_EVERY_S = 0.2


class Parent:
    """The way to tell the parent something, to answer it, and to notice that it is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._one_at_a_time = threading.Lock()
        self._told_at = 0.0
        self._step = 0
        self._thread = threading.get_ident()
        threading.Thread(target=self._answer, daemon=True).start()

    def tell(self, event: str, **facts: Any) -> None:
        """One event, as JSON."""
        with self._one_at_a_time:
            self._connection.send_bytes(json.dumps({"event": event, **facts}).encode())

    def progress(self, step: int, total: int) -> None:
        """At most a few times a second, and always at the end."""
        now = time.monotonic()
        self._step = step
        if step == total or now - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = now
            self.tell("step", step=step, total=total)

    def _answer(self) -> None:
        """The parent sends but one question: where are you? Its end closes when it ends."""
        try:
            while True:
                self._connection.recv_bytes()
                frame = sys._current_frames().get(self._thread)
                stack = traceback.format_stack(frame) if frame else []
                self.tell("where", step=self._step, stack=stack)
        except (EOFError, OSError):
            os._exit(3)


class Interruption:
    """Keeps Ctrl-C from cutting a step's rows in two: it takes effect when the step is written."""

    def __init__(self) -> None:
        self._wanted = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, SIGINT only leaves a note; what it left is taken at the end at the latest."""
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
            self.take()
        finally:
            # A launcher passes on what its processes were sent already, and a second one would cut
            # off the record that is now written.
            signal.signal(signal.SIGINT, signal.SIG_IGN if self._wanted else before)

    def take(self) -> None:
        """Raise KeyboardInterrupt where one was held back."""
        if self._wanted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True


class Saving:
    """Seals what the loop saves, and ends the process where a resume is to be tried."""

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
        """Whether the process is to be killed amid update `step`, so that another one resumes."""
        if step != self._dies_in:
            return False
        if self.seal is None:
            raise RuntimeError(
                f"loop {self._spec.loop} was to be resumed, but told the probe of no checkpoint"
            )
        return True

    def saved(self, checkpoint: Path) -> None:
        """What the loop wrote is whole once all processes are done with their parts."""
        self._checkpoints.set_aside(self._place.rank, self._counts, self._writer)
        self._place.meet()
        step = self._counts.steps
        if self._place.rank == 0:
            self.seal = self._checkpoints.seal(checkpoint, self._spec, step, self.seal)
        self._place.meet()
        if self._place.rank != 0:
            self.seal = self._checkpoints.sealed(step)


class StepListener(Listener):
    """Shows progress, and ends the process between steps where somebody asked for it."""

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
        """Die without a last word where a resume has to bear it."""
        if self._saving.must_die(step):
            self._parent.tell("dying")
            os.kill(os.getpid(), signal.SIGKILL)

    def after_step(self, step: int) -> None:
        """Tell the parent, and end here where the spec or the user asks for it."""
        self._parent.progress(step, self._total)
        self._interruption.take()
        if step == self._stop_after:
            raise StopTraining

    def settled(self, settings: dict[str, Any]) -> None:
        """Tell the parent, which may have another run to hold this one against."""
        self._parent.tell("settled", settings=settings)

    def saved(self, checkpoint: Path) -> None:
        """See `Saving.saved`."""
        self._saving.saved(checkpoint)
