"""What a bench found, as part of a report: figures of each arm, and how they were measured."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["CONTROL", "ArmFigures", "BenchResult"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class ArmFigures(_Result):
    """One arm. Times are of steady steps; a rate is a volume over the wall time that it took."""

    name: str
    loop: str
    python: str | None
    """The libraries that it used, by their versions, where others had others."""
    overrides: dict[str, Any]
    """Recipe fields in which it departs from the reference."""
    observe: str
    """What watched it while it was timed."""
    steps: int
    """How many were timed."""
    step_s: float
    """Wall seconds of a step: the median over all blocks."""
    own_step_s: float | None
    """The same without the time in which it was ready and the machine ran somebody else; None: the
    kernel does not tell."""
    cpu_step_s: float
    """CPU seconds of a step, of all threads: the median over all blocks."""
    samples_per_s: float
    tokens_per_s: float | None
    """Tokens that are no padding; None: its rows have none."""
    padded_tokens_per_s: float | None
    """Tokens with the padding."""
    first_step_s: float
    """Its very first step, compiling included: the median over the sessions."""
    startup_s: float | None = None
    """From the start of its process to its first step, imports not included unless by another
    interpreter."""
    parameters: int | None = None
    """Trained scalars."""
    peak_resident_bytes: int | None = None
    peak_allocated_bytes: int | None = None
    """For tensors, by torch's own count, over a few steps: the same in each run of the same
    code."""
    peak_reserved_bytes: int | None = None
    flops_per_step: float | None = None
    """Of its matrix products, forward and backward, at the padded length of the counted steps."""
    flops_per_six_n_tokens: float | None = None
    """The same over 6 * parameters * padded tokens, the rule of thumb that it is checked by."""
    share_of_peak: float | None = None
    """What it does of the machine's measured matrix peak, per second of `own_step_s`."""
    energy_j_per_step: float | None = None
    parts: dict[str, float] = {}
    """Seconds of a step in its parts, of a run that was profiled."""


class BenchResult(_Result):
    """How the speeds of a report's comparisons were measured."""

    statistic: str
    """The metric that outcomes rest on."""
    reason: str
    """Why that one."""
    margin: float
    """The relative difference that does not matter."""
    sessions: int
    rounds: int
    """Of each session, or of the longest."""
    steps_per_turn: int
    """The first one of them is not counted."""
    control_ratio: float
    control_interval: tuple[float, float]
    """At 95%: the reference beside itself."""
    control_why_not: str
    """Why nothing may be concluded; empty where something may."""
    control_caution: str = ""
    """Why a difference must be larger than the margin to be called, and nothing is equivalent;
    empty where the control is good."""
    arms: tuple[ArmFigures, ...]
    peak_flops_per_s: float | None
    """Of a large matrix product, in the precision and threads of the reference."""
    took_s: float
    """Wall seconds of all."""
    stopped_by: str
    """Why there were no more sessions."""
    conclusion: str = ""
    """One sentence: who is faster, by how much, how sure, and what could not have been seen."""


CONTROL = "control"
"""The arm that is the reference once more."""
