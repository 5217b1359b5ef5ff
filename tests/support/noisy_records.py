"""Synthetic records of one training that differ by noise alone, and by what a test adds to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.results.record import RunRecord
from harness.spec.case import Perturbation
from tests.support.records import TENSORS, Draft, draft, evaluation, fake_digest, spec

STEPS = 40
BUCKETS = 61
NOISE = 1e-6
"""Of the loss, relative of the gradient norm, and of the weights after one step."""

Array = npt.NDArray[np.float64]


@dataclass
class Values:
    """What a run computed: loss and gradient norm [STEPS], sketches [STEPS + 1, tensors, k]."""

    loss: Array
    grad_norm: Array
    weights: Array
    evaluation_loss: float


def values(seed: int | None, noise: float = NOISE, growth: float = 1.0) -> Values:
    """One training, with the noise that `seed` draws; None: with none, as the reference.

    Each tensor moves by 0.1 a step in a direction of its own; the noise of the weights adds up over
    the steps, and `growth` multiplies all noise at each of them.
    """
    fixed = np.random.default_rng(1)
    way = fixed.normal(size=(1, len(TENSORS), BUCKETS))
    way *= 0.1 / np.linalg.norm(way, axis=2, keepdims=True)
    steps = np.arange(STEPS + 1)
    weights = fixed.normal(size=(1, len(TENSORS), BUCKETS)) + steps[:, None, None] * way
    loss = 0.7 - 0.01 * steps[1:] + fixed.normal(size=STEPS) * 0.05
    grad_norm = np.exp(fixed.normal(size=STEPS) * 0.3)
    made = Values(loss, grad_norm, weights, 0.5)
    if seed is not None:
        draw = np.random.default_rng(seed)
        sizes = noise * growth ** steps[1:]
        made.loss = loss + sizes * draw.normal(size=STEPS)
        made.grad_norm = grad_norm * np.exp(sizes * draw.normal(size=STEPS))
        moved = sizes[:, None, None] * draw.normal(size=(STEPS, len(TENSORS), BUCKETS))
        made.weights[1:] += np.cumsum(moved, axis=0) / np.sqrt(BUCKETS)
        made.evaluation_loss += noise * draw.normal()
    return made


def noisy_draft(made: Values, name: str, draw: int | None = None) -> Draft:
    """A completed run with those values; its digests are its own, as those of its weights are."""
    run = draft(spec=spec(sketch=True), steps_expected=STEPS)
    if draw is not None:
        perturbation = Perturbation(draw=draw)
        run.header["spec"] = spec(sketch=True, perturbation=perturbation)
    steps = range(1, STEPS + 1)
    run.rows = {
        "steps": [
            {
                "step": step,
                "learning_rate": [1e-3],
                "rate_of": [0] * len(TENSORS),
                "grad_norm": float(made.grad_norm[step - 1]),
                **{
                    stage: fake_digest(name, stage, step)
                    for stage in ("gradients", "weights", "optimizer_state")
                },
            }
            for step in steps
        ],
        "micro_batches": [
            {
                "step": step,
                "micro_batch": 1,
                "sample_ids": [step],
                "batch_content": fake_digest("batch", step),
                "rng": fake_digest("rng", step),
                "label_content": step,
                "rng_python": 1,
                "rng_numpy": 1,
                "rows": [fake_digest("row", step)],
                "loss": float(made.loss[step - 1]),
                "task_loss": float(made.loss[step - 1]),
            }
            for step in steps
        ],
        "tensors": [
            {
                "step": step,
                "tensor": tensor,
                "gradient": fake_digest(name, "gradient", step, tensor) if step else 0,
                "weight": fake_digest(name if step else "", "weight", step, tensor),
                "optimizer_state": fake_digest(name, "state", step, tensor) if step else 0,
            }
            for step in range(STEPS + 1)
            for tensor in TENSORS
        ],
        "sketches": [
            {"step": step, "tensor": tensor, "sketch": made.weights[step, number].tolist()}
            for step in range(STEPS + 1)
            for number, tensor in enumerate(TENSORS)
        ],
    }
    run.header["evaluations"] = (evaluation(STEPS, loss=made.evaluation_loss),)
    run.recount()
    return run


def write_noisy(
    folder: Path,
    name: str,
    seed: int | None,
    spoil: Callable[[Values], object] | None = None,
    noise: float = NOISE,
    growth: float = 1.0,
) -> RunRecord:
    """A record below `folder`; `spoil` changes its values before they are written."""
    made = values(seed, noise, growth)
    if spoil is not None:
        spoil(made)
    return noisy_draft(made, name).write(folder / name)


def write_draws(
    folder: Path, count: int = 8, noise: float = NOISE, growth: float = 1.0
) -> list[RunRecord]:
    """The draws of the reference's noise."""
    return [
        noisy_draft(values(100 + draw, noise, growth), f"draw-{draw}", draw).write(
            folder / f"draw-{draw}"
        )
        for draw in range(1, count + 1)
    ]
