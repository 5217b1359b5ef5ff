"""The child process: one `RunSpec` in, one record out.

It tells its parent how it goes, one JSON object a message; whatever the loop's libraries print goes
to the log. It ends when the parent does. Exit codes: 0 completed, 2 refused (the spec does not fit
what is here), 3 failed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import torch

from harness import environment, fingerprint
from harness.adaptation import adapt
from harness.errors import LoopUnavailable, SpecError
from harness.perturbation import perturb
from harness.probe import Listener, TimingProbe, TraceProbe
from harness.record import SCHEMA_VERSION, Counts, Evaluation, Header, RecordWriter
from harness.resume import FOLDER, Checkpoints, Seal
from harness.seeding import generators_restored, make_deterministic, seed_everything
from harness.spec import Case, Recipe, RunSpec
from harness.workload import Scores, Workload, check_one_batch, evaluate_model

__all__ = ["build_workload", "main", "train_once"]

_PROGRESS_EVERY_S = 0.2


class _Parent:
    """The way to tell the parent something, and to notice that it is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told_at = 0.0
        threading.Thread(target=self._end_with_it, daemon=True).start()

    def tell(self, event: str, **facts: Any) -> None:
        """One event, as JSON."""
        self._connection.send_bytes(json.dumps({"event": event, **facts}).encode())

    def progress(self, step: int, total: int) -> None:
        """At most a few times a second, and always at the end."""
        now = time.monotonic()
        if step == total or now - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = now
            self.tell("step", step=step, total=total)

    def _end_with_it(self) -> None:
        """The parent never sends anything; its end of the pipe closes when it ends."""
        try:
            self._connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(3)


def main(spec_json: str, folder: str, connection: Connection) -> int:
    """Make the run of a `RunSpec` given as JSON; return the exit code."""
    parent = _Parent(connection)
    spec = RunSpec.model_validate_json(spec_json)
    try:
        header = train_once(spec, Path(folder), parent)
    except SpecError as error:
        parent.tell("refused", message=str(error))
        return 2
    parent.tell(header.status)
    return 0 if header.status == "completed" else 3


def train_once(spec: RunSpec, folder: Path, parent: _Parent) -> Header:
    """Build, check, train, evaluate, and leave a record in `folder`, also of a failure.

    Goes on from the newest whole checkpoint in `folder`, where there is one. Checkpoints are
    removed once the run is completed.

    Raises `SpecError`, with no record left, where the spec cannot be run here at all.
    """
    checkpoints = Checkpoints(folder / FOLDER)
    seal, warnings = checkpoints.newest(spec)
    device = _device(spec.case.device, spec.recipe)
    make_deterministic(device, spec.recipe.num_threads)
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "spec": spec,
        "environment": environment.describe(device),
        "digest_algorithm": fingerprint.ALGORITHM,
    }
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        loop = _import_loop(spec.loop)
        parent.tell("building")
        seed_everything(spec.recipe.seed)
        workload = build_workload(spec.case, spec.recipe, device, Path(scratch))
        workload = adapt(workload, spec.recipe)
        workload = replace(
            workload,
            output_dir=checkpoints.folder,
            resume_from=checkpoints.folder / seal.checkpoint if seal else None,
        )
        with generators_restored():
            print(check_one_batch(workload, spec.recipe), file=sys.stderr)  # noqa: T201  # the log
        expected = _steps_expected(workload, spec.recipe)
        facts["steps_expected"] = expected
        if spec.resume_at is not None and spec.resume_at >= expected:
            raise SpecError(
                f"a run is resumed before its last step, {expected}", spec.resume_at, "choose less"
            )

        checkpoints.clear_after(seal)
        checkpoints.folder.mkdir(exist_ok=True)
        writer = RecordWriter(folder)
        facts["resumed_from"] = ()
        if seal:
            writer.take_up(checkpoints.folder / name for name in seal.traces)
            facts["resumed_from"] = (*seal.resumed_from, seal.step)
            seal = seal.model_copy(update={"resumed_from": facts["resumed_from"]})
        interruption = _Interruption()
        listener = _Listener(spec, expected, parent, interruption, checkpoints, writer, seal)
        probe: TraceProbe | TimingProbe
        if spec.observe == "trace":
            probe = TraceProbe(writer, listener, workload, listener.counts, spec.sketch)
        else:
            probe = TimingProbe(writer, listener, workload, listener.counts)
        if spec.perturbation is not None:
            perturb(workload.model, spec.perturbation)
        try:
            with interruption.held():
                model, facts["wall_s"] = _train(loop, workload, spec.recipe, probe)
            final = evaluate_model(workload, spec.recipe, model)
            facts["status"] = "completed"
            warnings += _collapse(final)
            probe.counts.evaluations.append(
                Evaluation(step=probe.counts.steps, rows=final.rows, metrics=final.metrics)
            )
        except (Exception, KeyboardInterrupt) as error:  # any loop, any error
            if isinstance(error, SpecError) and not probe.counts.steps:
                raise  # the loop cannot do what was asked, and no work is lost
            interrupted = isinstance(error, KeyboardInterrupt)
            facts["status"] = "interrupted" if interrupted else "failed"
            line = " ".join(str(error).split())
            facts["error"] = (
                "stopped by the user" if interrupted else f"{type(error).__name__}: {line}"
            )
            facts["traceback"] = traceback.format_exc()
        probe.close()
        header = Header(
            **facts,
            **probe.counts.model_dump(),
            epochs=probe.counts.samples / len(workload.train_set),
            warnings=tuple(warnings),
        )
        writer.close(header)
        if header.status == "completed" or listener.seal is None:
            shutil.rmtree(checkpoints.folder)
    return header


class _Listener(Listener):
    """Shows progress, seals checkpoints, and ends the process where a resume is to be tried."""

    def __init__(
        self,
        spec: RunSpec,
        expected: int,
        parent: _Parent,
        interruption: _Interruption,
        checkpoints: Checkpoints,
        writer: RecordWriter,
        seal: Seal | None,
    ) -> None:
        self.counts = seal.counts.model_copy(deep=True) if seal else Counts()
        """What the run has seen so far."""
        self.seal = seal
        """The newest seal of the run."""
        self._spec, self._expected = spec, expected
        self._parent, self._interruption = parent, interruption
        self._checkpoints, self._writer = checkpoints, writer
        self._dies_in = None
        if spec.resume_at is not None and seal is None:
            self._dies_in = spec.resume_at + 1

    def before_step(self, step: int) -> None:
        """Die without a word where that was asked for: a resume has to bear it."""
        if step != self._dies_in:
            return
        if self.seal is None:
            raise RuntimeError(
                f"loop {self._spec.loop} was to be resumed, but told the probe of no checkpoint"
            )
        os.kill(os.getpid(), signal.SIGKILL)

    def after_step(self, step: int) -> None:
        """Tell the parent, and end here if the user asked for it meanwhile."""
        self._parent.progress(step, self._expected)
        self._interruption.take()

    def saved(self, checkpoint: Path) -> None:
        """What the loop wrote is whole."""
        self.seal = self._checkpoints.seal(
            checkpoint, self._spec, self.counts, self._writer, self.seal
        )


class _Interruption:
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
            signal.signal(signal.SIGINT, before)

    def take(self) -> None:
        """Raise KeyboardInterrupt where one was held back."""
        if self._wanted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True


def _train(
    loop: ModuleType, workload: Workload, recipe: Recipe, probe: TraceProbe | TimingProbe
) -> tuple[torch.nn.Module, float]:
    """The trained model, and the seconds it took."""
    if recipe.reseed_after_build:
        seed_everything(recipe.seed)
    started = time.perf_counter()
    model = loop.train(workload, recipe, probe)
    return model, time.perf_counter() - started


def _collapse(scores: Scores) -> list[str]:
    """A model that always gives one answer has learned nothing, however well it scores."""
    if len(scores.predicted) > 1:
        return []
    return [
        f"majority-class collapse: every answer was class {min(scores.predicted)}; "
        "that two such runs score alike means nothing"
    ]


def _device(name: str, recipe: Recipe) -> torch.device:
    if name == "cpu" and recipe.precision == "fp16":
        raise SpecError(
            "precision fp16 needs a GPU", "device cpu", "pass --device cuda, or set precision=bf16"
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise SpecError(
            "device cuda needs a GPU that this torch can use",
            f"torch {torch.__version__} without one",
            "pass --device cpu",
        )
    return torch.device(name)


def build_workload(case: Case, recipe: Recipe, device: torch.device, output_dir: Path) -> Workload:
    """The workload of a case. Raises `SpecError` where its parts do not fit together."""
    module = importlib.import_module(f"harness.workloads.{case.workload}")
    return module.build(case.options, recipe, device, output_dir)  # type: ignore[no-any-return]  # every workload has it


def _import_loop(name: str) -> ModuleType:
    if name.endswith(".py"):
        source = importlib.util.spec_from_file_location(f"user_loop_{Path(name).stem}", name)
        assert source is not None  # since the suffix is .py
        assert source.loader is not None
        module = importlib.util.module_from_spec(source)
        try:
            source.loader.exec_module(module)
        except Exception as error:
            raise SpecError(
                "a loop given as a file must import", f"{name}: {error}", "mend it"
            ) from error
    else:
        try:
            module = importlib.import_module(f"harness.loops.{name}")
        except ImportError as error:
            raise LoopUnavailable(f"loop {name} needs a library", error, "install it") from error
    if not callable(getattr(module, "train", None)):
        raise SpecError("a loop has a function train(workload, recipe, probe)", name, "add it")
    return module


def _steps_expected(workload: Workload, recipe: Recipe) -> int:
    rows, size = len(workload.train_set), recipe.per_device_batch_size
    batches = rows // size if recipe.drop_last else math.ceil(rows / size)
    steps_per_epoch = math.ceil(batches / recipe.gradient_accumulation_steps)
    if not batches:
        raise SpecError(
            "an epoch needs at least one batch", f"{rows} rows at {size} a batch", "lower the size"
        )
    return recipe.max_steps or recipe.num_epochs * steps_per_epoch
