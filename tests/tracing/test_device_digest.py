"""Sums of mixed words: the formula by hand, every bit and position, batches and slices."""

from __future__ import annotations

import random

import pytest
import torch

from harness.tracing import device_digest as module
from harness.tracing.device_digest import word_sums

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8]
_MASK = 2**64 - 1


def by_hand(words: list[int]) -> int:
    """The definition, in Python's own integers."""
    total = 0
    for place, word in enumerate(words):
        z = ((place << 32 | word) + 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        total += z ^ (z >> 31)
    return total & _MASK


def test_the_mixer_is_splitmix64() -> None:
    """Its published stream for seed 0 begins with e220a8397b1dcdaf."""
    assert [0xE220A8397B1DCDAF] == word_sums([torch.zeros(1)])


def test_sums_equal_the_formula() -> None:
    """Words with and without their highest bit, alone and in sequence."""
    for words in ([0], [1], [0x80000000], [3, 0xFFFFFFFF, 0, 7, 0x7FFFFFFF]):
        signed = [word - 2**32 if word >= 2**31 else word for word in words]
        assert [by_hand(words)] == word_sums([torch.tensor(signed, dtype=torch.int32)])
    assert [by_hand([1, 255])] == word_sums([torch.tensor([1, 255], dtype=torch.uint8)])
    assert [by_hand([1, 0xFFFFFFFF])] == word_sums([torch.tensor([1, -1], dtype=torch.int16)])
    assert [by_hand([5, 1])] == word_sums([torch.tensor([2**32 + 5])])
    assert [0] == word_sums([torch.empty(0)])
    assert [] == word_sums([])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_single_bit_matters(dtype: torch.dtype) -> None:
    """Flipping any one bit of a tensor changes its sum; every bit gives a different sum."""
    tensor = torch.ones(9).to(dtype)
    raw = tensor.view(torch.uint8)
    seen = set(word_sums([tensor]))
    for position in range(len(raw)):
        for bit in range(8):
            raw[position] ^= 1 << bit
            seen |= set(word_sums([tensor]))
            raw[position] ^= 1 << bit
    assert 1 + 8 * len(raw) == len(seen)


def test_order_matters() -> None:
    """Swapping any two elements, or flipping one bit in any two of them, changes the sum."""
    tensor = torch.arange(24, dtype=torch.float32)
    seen = set(word_sums([tensor]))
    for one in range(24):
        for two in range(one):
            swapped, flipped = tensor.clone(), tensor.clone()
            swapped[[one, two]] = tensor[[two, one]]
            flipped.view(torch.int32)[[one, two]] ^= -(2**31)
            seen |= set(word_sums([swapped, flipped]))
    assert 1 + 2 * (24 * 23 // 2) == len(seen)


def test_zeros_at_the_end_count() -> None:
    """Appending a zero changes the sum."""
    assert 5 == len(set(word_sums([torch.zeros(count) for count in range(5)])))


def test_views_are_read_in_their_own_order() -> None:
    """A copy has the same sum. A transposed view has the sum of its contiguous copy."""
    tensor = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    strided = torch.randn(5, 14)
    strided[:, ::2] = tensor
    same = word_sums([tensor, tensor.clone(), tensor.t().contiguous().t(), strided[:, ::2]])
    assert 1 == len(set(same))
    assert word_sums([tensor.t()]) == word_sums([tensor.t().contiguous()])
    assert word_sums([tensor.t()]) != word_sums([tensor])


@pytest.mark.parametrize("at_once", [1, 7, 64, 1 << 24])
def test_neighbours_and_slices_change_nothing(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Tensors of all dtypes in one call, split anywhere, have the same sums as alone."""
    draw = random.Random(at_once)
    tensors = [
        torch.randn(draw.choice([0, 1, 3, 20, 65])).to(draw.choice(DTYPES)) for _ in range(40)
    ]
    tensors.append(torch.tensor(2.0))
    alone = [word_sums([tensor])[0] for tensor in tensors]
    monkeypatch.setattr(module, "_MAX_WORDS", at_once)
    assert alone == word_sums(tensors)
    tensors[0], tensors[-1] = tensors[-1], tensors[0]
    assert alone != word_sums(tensors)


def test_a_tensor_that_needs_gradients_is_only_read() -> None:
    """No node is added to the graph, and the values do not change."""
    tensor = torch.randn(6, requires_grad=True)
    before = tensor.detach().clone()
    word_sums([tensor])
    assert torch.equal(before, tensor)
    assert tensor.grad_fn is None


def test_launches_do_not_grow_with_the_tensors() -> None:
    """A hundred tensors need as many kernels as ten; views launch none."""

    def launches(count: int) -> int:
        tensors = [torch.ones(8) for _ in range(count)]
        free = {"aten::view", "aten::detach", "detach", "aten::slice", "aten::as_strided"}
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True
        ) as profile:
            word_sums(tensors)
        return sum(event.count for event in profile.key_averages() if event.key not in free)

    launches(2)
    few, many = launches(10), launches(100)
    assert many <= few + 2
    assert few < 100
