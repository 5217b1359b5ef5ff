"""What is measured of each arm by itself, before the sessions: start-up, memory, profile, FLOPs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.benchmark.arm_process import Task, running
from harness.benchmark.arms import Arm
from harness.results.benchmark import CONTROL

__all__ = ["FILE", "Passes", "peak_allocated", "run_passes"]

FILE = "passes.json"
"""Where they are kept, within an output folder."""
_STEPS: dict[Task, int] = {"memory": 20, "allocated": 8, "profile": 20, "flops": 4}
"""Steps of each pass, after its first."""


@dataclass(frozen=True)
class Passes:
    """What they found, by arm; empty where they were not made."""

    startup_s: dict[str, float] = field(default_factory=dict)
    """From the start of a process that has its libraries imported until it begins to train; of one
    by another interpreter, imports included."""
    parameters: dict[str, int] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    """Peaks, in bytes."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """Seconds of a step by its parts, and `rest`."""
    flops_per_step: dict[str, float] = field(default_factory=dict)
    tokens_per_counted_step: dict[str, float] = field(default_factory=dict)
    """Padded tokens of the steps whose operations were counted."""
    peak_flops_per_s: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    """Of the first arm."""


def peak_allocated(arms: Sequence[Arm], logs: Path, timeout_s: float) -> dict[str, float]:
    """Bytes of each arm but the control, all arms alive at once: they do not disturb a count.

    Empty for a device whose allocator does not tell.
    """
    counted = [arm for arm in arms if arm.name != CONTROL]
    found = {}
    with running(counted, "allocated", logs / "allocated", timeout_s, "memory") as processes:
        for name, process in processes.items():
            process.turn(1)
            found.update({name: process.turn(1 + _STEPS["allocated"])["meter"]})
    return {name: told["peak_allocated_bytes"] for name, told in found.items() if told}


def run_passes(
    arms: Sequence[Arm],
    logs: Path,
    timeout_s: float,
    until: float,
    on_pass: Callable[[str], None],
) -> Passes:
    """Each arm alone, one pass after the other. The control has none: it is the reference.

    After `until`, by the monotonic clock, no further arm is begun with; its figures are missing.
    Operations are counted once for each recipe, since loops that follow one compute the same.
    """
    found = Passes()
    counted: dict[str, str] = {}
    for arm in arms:
        if arm.name == CONTROL or time.monotonic() > until:
            continue
        on_pass(f"memory of {arm.name}")
        told, turn, startup_s = _alone(arm, "memory", logs, timeout_s)
        found.startup_s[arm.name] = startup_s
        found.parameters[arm.name] = told["parameters"]
        _, counting, _ = _alone(arm, "allocated", logs, timeout_s)
        found.memory[arm.name] = {**turn["meter"], **counting["meter"]}
        if not found.environment:
            found.environment.update(told["environment"]["facts"])
        on_pass(f"profile of {arm.name}")
        _, turn, _ = _alone(arm, "profile", logs, timeout_s)
        parts = turn["meter"]
        own_s = turn["wall_s"] - (turn["delay_s"] or 0.0)
        rest = own_s / turn["steps"] - sum(parts.values())
        found.parts[arm.name] = {**parts, "rest": max(0.0, rest)}
        same = counted.setdefault(arm.spec.recipe.key, arm.name)
        if same == arm.name:
            on_pass(f"operations of {arm.name}")
            told, turn, _ = _alone(arm, "flops", logs, timeout_s)
            found.flops_per_step[arm.name] = turn["meter"]["flops_per_step"]
            found.tokens_per_counted_step[arm.name] = turn["padded_tokens"] / turn["steps"]
            found.peak_flops_per_s[arm.name] = told["peak"]["flops_per_s"]
        else:
            for figures in (
                found.flops_per_step,
                found.tokens_per_counted_step,
                found.peak_flops_per_s,
            ):
                figures[arm.name] = figures[same]
    return found


def _alone(
    arm: Arm, task: Task, logs: Path, timeout_s: float
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """What it told before its steps and after them, and how long it took to start."""
    with running([arm], task, logs / task, timeout_s, f"the {task} pass") as processes:
        process = processes[arm.name]
        process.turn(1)
        return process.facts, process.turn(1 + _STEPS[task]), process.startup_s
