"""The child process: one `RunSpec` in, one record out.

It reports to its parent, one JSON object for each message. The output of the loop's libraries goes
to the log. It ends when the parent does. Exit codes: 0 completed; 2 refused, because the spec
cannot be run here; 3 failed; 4 not run, because its device is absent.
"""

from __future__ import annotations

import importlib
import math
import os
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from harness.errors import SpecError, is_disk_full
from harness.execution.checkpoints import FOLDER, Checkpoints
from harness.execution.child import metadata
from harness.execution.child.listener import Interruption, Parent, Saving, StepListener
from harness.execution.child.loop_contract import call_loop, keeps_tf32
from harness.execution.child.process_group import Place, joined
from harness.execution.child.task import task_of
from harness.execution.child.user_code import import_loop, reason
from harness.execution.child.user_task import build_task, task_errors
from harness.results.ranks import rank_folder
from harness.results.record import (
    COLLAPSE,
    SCHEMA_VERSION,
    Counts,
    Evaluation,
    Header,
    RecordWriter,
)
from harness.spec.case import Case, RunSpec
from harness.spec.files import digests_of_files
from harness.spec.recipe import Recipe
from harness.tracing import digest, lines, operations, sites
from harness.tracing.listener import StopTraining
from harness.tracing.localizing_probe import LocalizingProbe
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from harness.tracing.timing_probe import TimingProbe
from harness.training.apply_recipe import apply_recipe
from harness.training.devices import absence
from harness.training.evaluation import Scores, check_one_batch, evaluate_model
from harness.training.host_random import drawing
from harness.training.perturbation import perturb
from harness.training.seeding import (
    generators_restored,
    make_deterministic,
    refused_operation,
    seed_everything,
)
from harness.training.workload import Workload

__all__ = ["build_workload", "import_loop", "main", "torch_device", "train_once"]


def main(spec_json: str, folder: str, connection: Connection) -> int:
    """Make the run of a `RunSpec` given as JSON; return the exit code."""
    parent = Parent(connection)
    spec = RunSpec.model_validate_json(spec_json)
    try:
        header = train_once(spec, Path(folder), parent)
    except SpecError as error:
        parent.send("refused", message=str(error))
        return 2
    except OSError as error:
        if not is_disk_full(error):
            raise
        parent.send("disk_full")
        return 3
    parent.send(header.status)
    return {"completed": 0, "stopped": 0, "not run": 4}.get(header.status, 3)


def train_once(spec: RunSpec, folder: Path, parent: Parent) -> Header:
    """Build, check, train, evaluate, and leave a record in `folder`, also of a failure.

    Resumes from the newest complete checkpoint in `folder`, if there is one. Checkpoints are
    removed after the run is completed. Each of several processes leaves its record in a folder
    below `folder`.

    Raises `SpecError` and leaves no record if the spec cannot be run here.
    """
    absent = absence(spec.case.device)
    if absent:
        return _not_run(spec, folder, absent)
    device = torch_device(spec.case.device, spec.recipe, spec.processes_per_node)
    with joined(spec.case.world_size, device) as place:
        return _train_here(spec, folder, parent, device, place)


def _train_here(
    spec: RunSpec, folder: Path, parent: Parent, device: torch.device, place: Place
) -> Header:
    checkpoints = Checkpoints(folder / FOLDER)
    seal, warnings = checkpoints.newest(spec)
    origin, start = checkpoints, seal
    if spec.start_from is not None:
        origin = Checkpoints(Path(spec.start_from))
        start = origin.of_another_run(spec)
    make_deterministic(device, spec.recipe.num_threads)
    on_host = spec.recipe.random_numbers == "host"
    digest.choose(spec.case.digests, device, own_generator=not on_host)
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "spec": spec,
        "environment": metadata.describe(device) | _files(spec),
        "digest_algorithm": digest.algorithm(),
    }
    traced = spec.observe == "trace" and spec.localize_at is None
    with (
        tempfile.TemporaryDirectory(prefix="harness-") as scratch,
        sites.remembered() if traced else nullcontext(),
    ):
        if spec.localize_at is not None:
            lines.start()
        if spec.localize_at == 1:
            operations.begin_early()
        loop = import_loop(spec.loop)
        parent.send("building")
        seed_everything(spec.recipe.seed)
        workload = build_workload(spec.case, spec.recipe, device, Path(scratch))
        workload = replace(
            workload,
            output_dir=checkpoints.folder,
            resume_from=origin.folder / start.checkpoint if start else None,
            rank=place.rank,
            world_size=place.world_size,
        )
        workload = apply_recipe(workload, spec.recipe)
        with generators_restored(), task_errors(spec.case):
            print(check_one_batch(workload, spec.recipe), file=sys.stderr)  # noqa: T201  # the log
        expected, facts["steps_per_epoch"] = _steps_expected(workload, spec.recipe)
        facts["steps_expected"] = expected
        if spec.resume_at is not None and spec.resume_at >= expected:
            raise SpecError(
                f"a run is resumed before its last step, {expected}",
                spec.resume_at,
                "lower the step",
            )

        place.meet()
        if place.rank == 0:
            checkpoints.clear_after(seal)
            checkpoints.folder.mkdir(exist_ok=True)
        place.meet()
        writer = RecordWriter(folder if place.world_size == 1 else rank_folder(folder, place.rank))
        facts["resumed_from"] = ()
        counts = Counts()
        if start:
            counts = origin.take_up(start, place.rank, writer)
            facts["resumed_from"] = (*start.resumed_from, start.step)
        if seal:
            seal = seal.model_copy(update={"resumed_from": facts["resumed_from"]})
        interruption = Interruption()
        saving = Saving(spec, checkpoints, writer, counts, place, seal)
        listener = StepListener(parent, expected, spec.stop_after, interruption, saving)
        task = task_of(workload, spec.recipe, expected)
        options = TraceOptions(detail=spec.detail, sketch=spec.sketch, localize_at=spec.localize_at)
        probe: TraceProbe | TimingProbe
        if spec.localize_at is not None:
            probe = LocalizingProbe(writer, listener, options, counts, task, place.world_size)
        elif spec.observe == "trace":
            probe = TraceProbe(writer, listener, options, counts, task, place.world_size)
        else:
            probe = TimingProbe(writer, listener, counts, task.loss_metrics)
        if spec.perturbation is not None:
            perturb(workload.model, spec.perturbation)
        built = _shapes(workload.model)
        try:
            with interruption.delayed():
                model, facts["wall_s"] = _train(loop, workload, spec, probe)
            try:
                final = evaluate_model(workload, spec.recipe, model)
            except Exception as error:
                if _shapes(model) == built:
                    raise
                # The loop trained another model than the task's, such as one with another head.
                warnings.append(f"the task cannot evaluate the trained model: {reason(error)}")
            else:
                warnings += _collapse(final)
                probe.counts.evaluations.append(
                    Evaluation(step=probe.counts.steps, rows=final.rows, metrics=final.metrics)
                )
            facts["status"] = "completed"
        except StopTraining:
            facts["status"] = "stopped"
        except (Exception, KeyboardInterrupt) as error:  # any loop, any error
            if isinstance(error, SpecError) and not probe.counts.steps:
                raise  # the loop refuses the spec, and no work is lost
            if is_disk_full(error):
                raise  # there is no space for a record of it either
            interrupted = isinstance(error, KeyboardInterrupt)
            facts["status"] = "interrupted" if interrupted else "failed"
            facts["error"] = "stopped by the user" if interrupted else reason(error)
            if operation := refused_operation(error):
                facts["error"] = (
                    f"deterministic mode refused {operation}, "
                    f"which is not deterministic on {device.type}: train without it"
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
        if place.rank == 0 and (header.status == "completed" or saving.seal is None):
            shutil.rmtree(checkpoints.folder)
    return header


def _not_run(spec: RunSpec, folder: Path, reason: str) -> Header:
    """Leave a record with the reason why the run was not made."""
    header = Header(
        schema_version=SCHEMA_VERSION,
        spec=spec,
        status="not run",
        environment=metadata.describe(torch.device(spec.case.device)),
        error=reason,
    )
    RecordWriter(folder).close(header)
    return header


def _train(
    loop: ModuleType, workload: Workload, spec: RunSpec, probe: TraceProbe | TimingProbe
) -> tuple[torch.nn.Module, float]:
    """The trained model, and the seconds that the training took."""
    recipe = spec.recipe
    if recipe.reseed_after_build:
        seed_everything(recipe.seed)
    started = time.perf_counter()
    with drawing(recipe, workload.device):
        model = call_loop(loop.train, workload, recipe, probe, keeps_tf32(spec))
    return model, time.perf_counter() - started


def _files(spec: RunSpec) -> dict[str, Any]:
    """The digests of the user's own files, as part of the environment; empty without such."""
    digests = digests_of_files(spec)
    return {"files": digests} if digests else {}


def _shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter by its name."""
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _collapse(scores: Scores) -> list[str]:
    """A warning if the model always predicts one class: then it has learned nothing."""
    if len(scores.predicted) != 1:  # none: the task has no classes
        return []
    return [
        f"{COLLAPSE}: every prediction was class {min(scores.predicted)}; "
        "equal scores of two such runs mean nothing"
    ]


def torch_device(name: str, recipe: Recipe, processes: int) -> torch.device:
    """The device of this process, one of `processes` on this machine. Raises `SpecError`."""
    if name == "cpu" and recipe.precision == "fp16":
        raise SpecError(
            "precision fp16 needs a GPU", "device cpu", "pass --device cuda, or set precision=bf16"
        )
    if name != "cuda":
        return torch.device(name)
    if processes > torch.cuda.device_count():
        raise SpecError(
            "each process needs its own CUDA device",
            f"{processes} processes and {torch.cuda.device_count()} devices",
            "lower --processes",
        )
    device = torch.device(name, int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def build_workload(case: Case, recipe: Recipe, device: torch.device, output_dir: Path) -> Workload:
    """The workload of a case. Raises `SpecError` if its options do not fit together."""
    if case.workload.endswith(".py"):
        return build_task(case, device, output_dir)
    module = importlib.import_module(f"harness.training.workloads.{case.workload}")
    return module.build(case.options, recipe, device, output_dir)  # type: ignore[no-any-return]  # every workload has it


def _steps_expected(workload: Workload, recipe: Recipe) -> tuple[int, int]:
    """Updates in the whole training, and in one epoch."""
    rows, size = len(workload.train_set), recipe.per_device_batch_size
    if recipe.sharding == "strided":
        rows = math.ceil(rows / workload.world_size)
    else:
        size *= workload.world_size
    batches = rows // size if recipe.drop_last else math.ceil(rows / size)
    steps_per_epoch = math.ceil(batches / recipe.gradient_accumulation_steps)
    if not batches:
        raise SpecError(
            "an epoch needs at least one batch",
            f"{rows} rows, {size} in a batch",
            "lower the size",
        )
    return recipe.max_steps or recipe.num_epochs * steps_per_epoch, steps_per_epoch
