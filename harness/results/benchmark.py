"""Results of a benchmark: the figures of each arm, and how they were measured."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.results.base import Result

__all__ = ["CONTROL", "ArmFigures", "BenchResult"]


class ArmFigures(Result):
    """The figures of one arm. Times are those of steady steps, rates are per wall time."""

    name: str
    """Name of the arm."""
    loop: str
    """The loop that it runs, or the command."""
    python: str | None
    """The library versions of this arm, if the arms use different libraries."""
    overrides: dict[str, Any]
    """Recipe fields in which this arm differs from the reference."""
    observe: str
    """The probe that was active while this arm was timed."""
    steps: int
    """Number of timed steps."""
    step_s: float
    """Wall seconds per step: the median over all blocks."""
    own_step_s: float | None
    """Wall seconds per step without the time in which the thread was ready but not running. None if
    the kernel does not report that time."""
    cpu_step_s: float
    """CPU seconds per step of all threads: the median over all blocks."""
    samples_per_s: float | None
    """Rows per second; None if rows are not counted, as for a command."""
    tokens_per_s: float | None
    """Tokens per second without padding; None if the rows have no tokens."""
    padded_tokens_per_s: float | None
    """Tokens per second with padding."""
    first_step_s: float | None
    """Seconds of the first step of the process, with compilation: the median over the sessions.
    None for a command."""
    startup_s: float | None = None
    """Seconds from the start of the process to its first step. Imports count only if the arm has
    another interpreter."""
    parameters: int | None = None
    """Number of trained scalars."""
    peak_resident_bytes: int | None = None
    """Peak resident memory of the process; None if it was not measured."""
    peak_allocated_bytes: int | None = None
    """Peak memory of tensors over a few steps, as torch counts it; equal in each run of the same
    code."""
    peak_reserved_bytes: int | None = None
    """Peak memory that torch reserves on the device; None without a device allocator."""
    flops_per_step: float | None = None
    """Operations of the matrix products, forward and backward, at the padded length of the counted
    steps."""
    flops_per_six_n_tokens: float | None = None
    """`flops_per_step` over 6 * parameters * padded tokens, a rule of thumb to check it."""
    share_of_peak: float | None = None
    """Share of the machine's measured peak of matrix products, in `own_step_s`."""
    energy_j_per_step: float | None = None
    """Joules that the accelerator used per step; None if it does not report them."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Seconds of each phase of a step, from a profiled run."""


class BenchResult(Result):
    """How the speeds of a case were measured."""

    statistic: str
    """The metric that decides the outcomes."""
    reason: str
    """Why this metric decides."""
    margin: float
    """The largest relative difference that is irrelevant."""
    sessions: int
    """Number of sessions."""
    rounds: int
    """Rounds of each session, or of the longest session."""
    steps_per_turn: int
    """Steps of a turn; the first of them is not counted."""
    control_ratio: float
    """Ratio of the control, the same reference again, to the reference."""
    control_interval: tuple[float, float]
    """95% interval of `control_ratio`."""
    control_why_not: str
    """Why no outcome is possible; empty if one is."""
    control_caution: str = ""
    """Why only differences larger than the margin have an outcome and no arm is `equivalent`; empty
    if the control is good."""
    arms: tuple[ArmFigures, ...]
    """The figures of each arm, the reference first."""
    peak_flops_per_s: float | None
    """Measured with a large matrix product, in the precision and threads of the reference."""
    took_s: float
    """Wall seconds of the whole benchmark."""
    stopped_by: str
    """Why no further sessions were run."""
    conclusion: str = ""
    """One sentence: which arm is faster, by how much, how certain, and the smallest visible
    difference."""


CONTROL = "control"
"""The arm that repeats the reference."""
