"""The child process of a bench: one arm, trained turn by turn while its parent grants turns.

Like `harness.execution.child.main` it sends JSON messages to its parent and ends when the parent
ends. It writes no record, since values and times never come from the same run.
"""

from __future__ import annotations

import json
import tempfile
import traceback
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from harness.benchmark.arms import Arm
from harness.benchmark.child.meters import Allocated, Flops, Memory, Profile, peak_flops_per_s
from harness.benchmark.child.turn_gate import CombinedProbe, Meter, TurnGate
from harness.benchmark.child.yardstick import Yardstick
from harness.errors import SpecError
from harness.execution.child.loop_contract import WatchedCalls, keeps_tf32
from harness.execution.child.main import build_workload, import_loop, torch_device
from harness.execution.child.metadata import describe
from harness.execution.child.task import task_of
from harness.execution.child.user_code import reason
from harness.results.record import RecordWriter
from harness.tracing.listener import Listener, StopTraining
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from harness.tracing.timing_probe import TimingProbe
from harness.training.apply_recipe import apply_recipe
from harness.training.devices import absence
from harness.training.probe import Probe
from harness.training.seeding import make_deterministic, seed_everything
from harness.training.workload import Workload

__all__ = ["main"]


def main(arm_json: str, task: str, connection: Connection) -> int:
    """Train an `Arm` given as JSON; return the exit code.

    `task`: turns, memory, allocated, profile or flops, that is, what is measured.
    """
    arm = Arm.model_validate_json(arm_json)
    try:
        _train(arm, task, connection)
    except StopTraining:
        return 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 3  # the parent has ended
    except SpecError as error:
        _send(connection, event="refused", message=str(error))
        return 2
    except Exception as error:  # noqa: BLE001  # any loop, any error
        traceback.print_exc()
        _send(connection, event="failed", message=reason(error))
        return 3
    _send(connection, event="failed", message="the loop returned before its parent ended it")
    return 3


def _train(arm: Arm, task: str, connection: Connection) -> None:
    spec = arm.spec
    absent = absence(spec.case.device)
    if absent:
        raise SpecError("a bench needs its device", absent, "choose another by --device")
    device = torch_device(spec.case.device, spec.recipe, 1)
    make_deterministic(device, spec.recipe.num_threads)
    recipe = spec.recipe
    if task == "flops":
        # A compiled model hides its products from the counter; they are the same products.
        recipe = recipe.model_copy(update={"compile": None})
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch, ExitStack() as stack:
        loop = import_loop(spec.loop)
        probes: list[Probe] = []
        meter: Meter | None = None
        if task == "allocated":
            meter = allocated = Allocated(device)
            stack.enter_context(allocated.counting())
        seed_everything(recipe.seed)
        workload = apply_recipe(build_workload(spec.case, recipe, device, Path(scratch)), recipe)
        if task == "memory":
            meter = Memory(device)
        elif task == "profile":
            meter = profile = Profile(device)
            probes.append(profile)
            stack.enter_context(profile.patched())
        elif task == "flops":
            meter = flops = Flops()
            stack.enter_context(flops.counting())
            peak = peak_flops_per_s(device, _dtype(recipe.precision))
            _send(connection, event="peak", flops_per_s=peak)
        if arm.observe != "nothing":
            probes.append(_observer(arm, workload, Path(scratch)))
        gate = TurnGate(connection, device, meter, Yardstick(device) if task == "turns" else None)
        if task == "memory":
            _send(connection, event="environment", facts=describe(device))
        if recipe.reseed_after_build:
            seed_everything(recipe.seed)
        probe = CombinedProbe([*probes, gate])
        loop.train(workload, recipe, WatchedCalls(probe, keeps_tf32(spec)))


def _observer(arm: Arm, workload: Workload, scratch: Path) -> Probe:
    writer = RecordWriter(scratch / "record")
    if arm.observe == "timing":
        return TimingProbe(writer, Listener())
    expected = arm.spec.recipe.max_steps or 1
    task = task_of(workload, arm.spec.recipe, expected)
    options = TraceOptions(detail=arm.spec.detail, sketch=arm.spec.sketch)
    return TraceProbe(writer, Listener(), options, task=task, processes=workload.world_size)


def _dtype(precision: str) -> torch.dtype:
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def _send(connection: Connection, **facts: Any) -> None:
    connection.send_bytes(json.dumps(facts).encode())
