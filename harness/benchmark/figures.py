"""Compute the figures of each arm from blocks and passes. Each can be checked by hand."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.benchmark.arms import Arm
from harness.benchmark.commands import CommandArm
from harness.benchmark.passes import Passes
from harness.results.benchmark import ArmFigures
from harness.results.sessions import Block, Session

__all__ = ["command_figures", "figures_of"]


def figures_of(arm: Arm, reference: Arm, sessions: Sequence[Session], passes: Passes) -> ArmFigures:
    """The figures of one arm; `passes` may be empty."""
    blocks = _blocks(arm.name, sessions)
    times = _times(blocks)
    return ArmFigures(
        name=arm.name,
        loop=arm.spec.loop,
        python=arm.libraries,
        overrides=_departures(arm, reference),
        observe=arm.observe,
        first_step_s=statistics.median(session.first_step_s[arm.name] for session in sessions),
        startup_s=passes.startup_s.get(arm.name),
        parameters=passes.parameters.get(arm.name),
        parts=passes.parts.get(arm.name, {}),
        **times,
        **_rates(blocks),
        **passes.memory.get(arm.name, {}),
        **_arithmetic(arm.name, passes, blocks, times["own_step_s"] or times["step_s"]),
    )


def command_figures(
    arm: CommandArm, sessions: Sequence[Session], parameters: Mapping[str, int]
) -> ArmFigures:
    """The figures of a command: its times. Its rows are not counted."""
    return ArmFigures(
        name=arm.name,
        loop=arm.text,
        python=None,
        overrides={},
        observe="nothing",
        first_step_s=None,
        samples_per_s=None,
        tokens_per_s=None,
        padded_tokens_per_s=None,
        parameters=parameters.get(arm.name),
        **_times(_blocks(arm.name, sessions)),
    )


def _blocks(arm: str, sessions: Sequence[Session]) -> list[Block]:
    return [block for session in sessions for block in session.blocks if block.arm == arm]


def _times(blocks: Sequence[Block]) -> dict[str, Any]:
    own_known = all(block.delay_s is not None for block in blocks)
    energies = [block.energy_j for block in blocks if block.energy_j is not None]
    steps = sum(block.steps for block in blocks)
    return {
        "steps": steps,
        "step_s": statistics.median(block.wall_s / block.steps for block in blocks),
        "own_step_s": statistics.median(b.own_s / b.steps for b in blocks) if own_known else None,
        "cpu_step_s": statistics.median(block.cpu_s / block.steps for block in blocks),
        "energy_j_per_step": sum(energies) / steps if len(energies) == len(blocks) else None,
    }


def _rates(blocks: Sequence[Block]) -> dict[str, Any]:
    """Rows and tokens per second of wall time."""
    wall_s = sum(block.wall_s for block in blocks)
    padded_tokens = sum(block.padded_tokens for block in blocks)
    return {
        "samples_per_s": sum(block.samples for block in blocks) / wall_s,
        "tokens_per_s": sum(b.tokens for b in blocks) / wall_s if padded_tokens else None,
        "padded_tokens_per_s": padded_tokens / wall_s if padded_tokens else None,
    }


def _arithmetic(
    name: str, passes: Passes, blocks: Sequence[Block], step_s: float
) -> dict[str, Any]:
    """FLOPs of a step and their share of the peak; counted steps are scaled by their tokens."""
    flops = passes.flops_per_step.get(name)
    if flops is None:
        return {}
    counted_tokens = passes.tokens_per_counted_step[name]
    found: dict[str, Any] = {"flops_per_step": flops}
    scale = 1.0
    if counted_tokens:
        found["flops_per_six_n_tokens"] = flops / (6 * passes.parameters[name] * counted_tokens)
        timed = sum(block.padded_tokens for block in blocks) / sum(b.steps for b in blocks)
        scale = timed / counted_tokens
    found["share_of_peak"] = flops * scale / step_s / passes.peak_flops_per_s[name]
    return found


def _departures(arm: Arm, reference: Arm) -> dict[str, Any]:
    ours, theirs = (one.spec.recipe.model_dump(mode="json") for one in (arm, reference))
    return {name: value for name, value in ours.items() if value != theirs[name]}
