"""A perturbed model differs only by rounding, depends on its draw, and uses no global draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.spec.case import Perturbation
from harness.training.perturbation import perturb, perturb_weights


class Small(nn.Module):
    """An embedding, which autocast does not round, and two linear layers, which it rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.first = nn.Linear(8, 16)
        self.last = nn.Linear(16, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden: Tensor = self.last(torch.tanh(self.first(self.embedding(tokens))))
        return hidden


TOKENS = torch.arange(5)


def small(**perturbation: object) -> Small:
    """The same model each time, perturbed if requested."""
    torch.manual_seed(0)
    model = Small()
    state = torch.get_rng_state()
    if perturbation:
        perturb(model, Perturbation.model_validate(perturbation))
    assert torch.equal(state, torch.get_rng_state())
    return model


def bits(tensor: Tensor) -> np.ndarray:
    """Single-precision numbers in their order."""
    whole = tensor.detach().numpy().view(np.int32).astype(np.int64)
    return np.where(whole < 0, -(whole & 0x7FFFFFFF), whole)


def test_weights_of_a_command_move_by_one_ulp_also_during_a_pass() -> None:
    """Whole numbers stay, each parameter has its own generator, and the pass goes backward."""
    model, other = small(), small()
    counts = nn.Parameter(torch.arange(3), requires_grad=False)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    state, loss = torch.get_rng_state(), model(TOKENS).sum()
    perturb_weights([*model.parameters(), counts], Perturbation(draw=1))
    assert torch.equal(state, torch.get_rng_state())
    loss.backward()
    for one, two in zip(before, model.parameters(), strict=True):
        assert (np.abs(bits(two) - bits(one)) == 1).all()
    assert torch.equal(torch.arange(3), counts)
    shorter = [parameter[:1].detach() for parameter in list(other.parameters())[:1]]
    perturb_weights([*shorter, *list(other.parameters())[1:]], Perturbation(draw=1))
    for one, two in list(zip(model.parameters(), other.parameters(), strict=True))[1:]:
        assert torch.equal(one, two)


def test_each_weight_moves_by_one_ulp() -> None:
    """Every weight moves, some up and some down; the same draw gives the same result."""
    for (name, one), (_, two), (_, three) in zip(
        small().named_parameters(),
        small(draw=1).named_parameters(),
        small(draw=1).named_parameters(),
        strict=True,
    ):
        moved = bits(two) - bits(one)
        assert (np.abs(moved) == 1).all(), name
        assert moved.size < 20 or {-1, 1} == set(moved.flatten().tolist()), name
        assert torch.equal(two, three)


def test_another_draw_gives_another_perturbation() -> None:
    """Control of the test above."""
    assert not torch.equal(small(draw=1).first.weight, small(draw=2).first.weight)


def test_bf16_disturbs_passes_but_not_weights() -> None:
    """Values and gradients change by about the rounding of bf16; the weights do not change."""
    clean, noisy = small(), small(draw=1, rounding="bf16")
    outputs = [model(TOKENS) for model in (clean, noisy)]
    for output in outputs:
        output.sum().backward()
    change = float((outputs[1] - outputs[0]).detach().norm() / outputs[0].detach().norm())
    assert 2**-11 < change < 2**-6
    for (name, one), (_, two) in zip(
        clean.named_parameters(), noisy.named_parameters(), strict=True
    ):
        assert torch.equal(one, two), name
        assert one.grad is not None
        assert two.grad is not None
        off = float((two.grad - one.grad).norm() / one.grad.norm())
        assert 2**-12 < off < 2**-5, name


def test_bf16_errors_of_weights_stay_and_those_of_values_do_not() -> None:
    """The mean of many passes keeps an error, since each pass rounds the weights equally."""
    clean, noisy = small()(TOKENS).detach(), small(draw=1, rounding="bf16")
    passes = torch.stack([noisy(TOKENS) for _ in range(200)]).detach()
    assert not torch.equal(passes[0], passes[1])
    left = float((passes.mean(dim=0) - clean).norm() / clean.norm())
    chance = float(passes.std(dim=0).norm() / clean.norm()) / 200**0.5
    assert left > 4 * chance


def test_an_embedding_is_not_disturbed() -> None:
    """It is looked up, not multiplied; autocast keeps it in single precision."""
    clean, noisy = small(), small(draw=1, rounding="bf16")
    assert torch.equal(clean.embedding(TOKENS), noisy.embedding(TOKENS))
    assert not torch.equal(clean.first.weight @ torch.ones(8), noisy.first(torch.ones(8)))


@pytest.mark.parametrize("rounding", ["weights", "bf16"])
def test_names_and_gradients_are_those_of_the_model(rounding: str) -> None:
    """Names and identities of parameters do not change, so a probe records the same ones."""
    clean, noisy = small(), small(draw=1, rounding=rounding)
    before = dict(noisy.named_parameters())
    noisy(TOKENS).sum().backward()
    assert list(dict(clean.named_parameters())) == list(before)
    assert all(before[name] is p for name, p in noisy.named_parameters())
    assert all(p.grad is not None for p in before.values())


def test_values_in_bf16_are_disturbed_without_bias() -> None:
    """In a reference with autocast, values move up as often as down."""
    with torch.autocast("cpu", torch.bfloat16):
        clean = small().first(torch.ones(8)).detach()
        noisy = small(draw=1, rounding="bf16").first
        moved = torch.stack([noisy(torch.ones(8)).detach() - clean for _ in range(300)])
    assert torch.bfloat16 == clean.dtype
    share = float((moved > 0).float().sum() / (moved != 0).float().sum())
    assert 0.4 < share < 0.6
