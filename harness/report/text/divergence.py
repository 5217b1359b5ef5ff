"""Where two runs first differ, as text."""

from __future__ import annotations

from harness.results.divergence import Divergence
from harness.units import number

__all__ = ["place", "short_place"]


def place(first: Divergence) -> str:
    """Step, micro-batch, rank, stage, tensor and distance, as far as they are known."""
    text = f"step {first.step}"
    if first.micro_batch is not None:
        text += f", micro-batch {first.micro_batch}"
    if first.rank is not None:
        text += f", rank {first.rank}"
    text += f", stage {first.stage}"
    if first.tensor is not None:
        text += f", tensor {first.tensor}"
    if first.max_ulp is not None:
        text += f", difference {number(first.max_ulp)} ulp"
    return text


def short_place(first: Divergence) -> str:
    """Step, stage and tensor."""
    tensor = f" of {first.tensor}" if first.tensor is not None else ""
    return f"step {first.step}, {first.stage}{tensor}"
