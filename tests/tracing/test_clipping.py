"""A clipping that finds no gradient is noticed, and changes nothing else."""

from __future__ import annotations

import torch
from torch.nn.utils import clip_grad, clip_grad_norm_

from harness.tracing import clipping


def test_only_a_clipping_without_gradients_is_noticed() -> None:
    """Also if the function was imported before; torch is left as it was."""
    before = clip_grad._get_total_norm
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    noticed: list[int] = []

    def notice() -> None:
        noticed.append(1)

    clipping.listen(notice)
    try:
        assert 0.0 == float(clip_grad_norm_([weight], 1.0))
        assert [1] == noticed
        weight.grad = torch.tensor([3.0, 4.0])
        assert 5.0 == float(clip_grad_norm_([weight], 1.0))
        assert [1] == noticed
    finally:
        clipping.stop_listening(notice)
    assert before is clip_grad._get_total_norm
    weight.grad = None
    clip_grad_norm_([weight], 1.0)
    assert [1] == noticed
