"""Training by a loop in the test's own process: a few steps take a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.execution.child.main import build_workload, import_loop
from harness.execution.child.task import task_of
from harness.results.record import SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec.case import RunSpec
from harness.tracing.listener import Listener
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from harness.training.apply_recipe import apply_recipe
from harness.training.host_random import drawing
from harness.training.seeding import generators_restored, seed_everything

__all__ = ["train_in_process"]


def train_in_process(spec: RunSpec, folder: Path, steps_expected: int) -> RunRecord:
    """Seed, build and train as a child process does, without a final evaluation.

    Generators and the number of threads are restored. Deterministic mode is not switched on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(spec.recipe.num_threads)
    try:
        with generators_restored():
            seed_everything(spec.recipe.seed)
            workload = build_workload(spec.case, spec.recipe, torch.device("cpu"), folder)
            workload = apply_recipe(workload, spec.recipe)
            writer = RecordWriter(folder)
            options = TraceOptions(detail=spec.detail, sketch=spec.sketch)
            task = task_of(workload, spec.recipe, steps_expected)
            probe = TraceProbe(writer, Listener(), options, task=task)
            if spec.recipe.reseed_after_build:
                seed_everything(spec.recipe.seed)
            with drawing(spec.recipe, workload.device):
                import_loop(spec.loop).train(workload, spec.recipe, probe)
            probe.close()
    finally:
        torch.set_num_threads(threads)
    header = Header(
        schema_version=SCHEMA_VERSION,
        spec=spec,
        status="completed",
        environment={},
        **probe.counts.model_dump(),
    )
    writer.close(header)
    return RunRecord(folder)
