"""Measure each arm alone, outside the sessions: start-up, memory, profile and FLOPs."""

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
"""File of the passes in an output folder."""
_STEPS: dict[Task, int] = {"memory": 20, "allocated": 8, "profile": 20, "flops": 4}
"""Steps of each pass, after the first step."""


@dataclass(frozen=True)
class Passes:
    """The results of the passes, by arm; empty if a pass was not made."""

    startup_s: dict[str, float] = field(default_factory=dict)
    """From the start of the process, with libraries imported, until it begins to train. With
    another interpreter, imports are included."""
    parameters: dict[str, int] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    """Peaks, in bytes."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """Seconds of each part of a step, and `rest`."""
    flops_per_step: dict[str, float] = field(default_factory=dict)
    tokens_per_counted_step: dict[str, float] = field(default_factory=dict)
    """Padded tokens of the steps whose operations were counted."""
    peak_flops_per_s: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    """The environment of the first arm."""


def peak_allocated(arms: Sequence[Arm], logs: Path, timeout_s: float) -> dict[str, float]:
    """Peak bytes of each arm except the control. All arms run at once, which changes no count.

    Empty for a device whose allocator does not report it.
    """
    counted = [arm for arm in arms if arm.name != CONTROL]
    found = {}
    with running(counted, "allocated", logs / "allocated", timeout_s, "memory") as processes:
        for name, process in processes.items():
            process.turn(1)
            found.update({name: process.turn(1 + _STEPS["allocated"])["meter"]})
    return {name: meter["peak_allocated_bytes"] for name, meter in found.items() if meter}


def run_passes(
    arms: Sequence[Arm],
    logs: Path,
    timeout_s: float,
    until: float,
    expected_s: float,
    on_pass: Callable[[str], None],
) -> Passes:
    """Run the passes of each arm, one after the other. The control is left out.

    No arm starts that would probably not end before `until`, by the monotonic clock; its figures
    are missing. `expected_s`: of one arm; later arms are expected to take as long as the ones
    before. Operations are counted once per recipe, since loops with one recipe compute the same.
    """
    found = Passes()
    counted: dict[str, str] = {}
    for arm in arms:
        began = time.monotonic()
        if arm.name == CONTROL or began + expected_s > until:
            continue
        on_pass(f"memory of {arm.name}")
        messages, turn, startup_s = _alone(arm, "memory", logs, timeout_s)
        found.startup_s[arm.name] = startup_s
        found.parameters[arm.name] = messages["parameters"]
        _, counting, _ = _alone(arm, "allocated", logs, timeout_s)
        found.memory[arm.name] = {**turn["meter"], **counting["meter"]}
        if not found.environment:
            found.environment.update(messages["environment"]["facts"])
        on_pass(f"profile of {arm.name}")
        _, turn, _ = _alone(arm, "profile", logs, timeout_s)
        parts = turn["meter"]
        own_s = turn["wall_s"] - (turn["delay_s"] or 0.0)
        rest = own_s / turn["steps"] - sum(parts.values())
        found.parts[arm.name] = {**parts, "rest": max(0.0, rest)}
        same = counted.setdefault(arm.spec.recipe.key, arm.name)
        if same == arm.name:
            on_pass(f"operations of {arm.name}")
            messages, turn, _ = _alone(arm, "flops", logs, timeout_s)
            found.flops_per_step[arm.name] = turn["meter"]["flops_per_step"]
            found.tokens_per_counted_step[arm.name] = turn["padded_tokens"] / turn["steps"]
            found.peak_flops_per_s[arm.name] = messages["peak"]["flops_per_s"]
        else:
            for figures in (
                found.flops_per_step,
                found.tokens_per_counted_step,
                found.peak_flops_per_s,
            ):
                figures[arm.name] = figures[same]
        expected_s = max(expected_s, time.monotonic() - began)
    return found


def _alone(
    arm: Arm, task: Task, logs: Path, timeout_s: float
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Run one pass: the arm's messages before its steps, its turn, and its start-up seconds."""
    with running([arm], task, logs / task, timeout_s, f"the {task} pass") as processes:
        process = processes[arm.name]
        process.turn(1)
        return process.facts, process.turn(1 + _STEPS[task]), process.startup_s
