"""Digests depend on every bit and its position, and on nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from harness.tracing import digest


@pytest.fixture(params=[digest.HOST, digest.ON_DEVICE], autouse=True)
def either(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test runs with both algorithms."""
    before = digest.algorithm()
    digest.use(request.param)
    yield request.param
    digest.use(before)


def test_equal_tensors_have_equal_digests() -> None:
    """A copy, and a view that is not contiguous, have the digest of the original."""
    tensor = torch.randn(5, 7)
    assert digest.of_tensor(tensor) == digest.of_tensor(tensor.clone())
    assert digest.of_tensor(tensor) == digest.of_tensor(tensor.t().contiguous().t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_every_single_bit_matters(dtype: torch.dtype) -> None:
    """Flipping any one bit of a tensor changes its digest."""
    tensor = torch.ones(9).to(dtype)
    raw = tensor.view(torch.uint8)
    seen = {digest.of_tensor(tensor)}
    for position in range(len(raw)):
        for bit in range(8):
            raw[position] ^= 1 << bit
            seen.add(digest.of_tensor(tensor))
            raw[position] ^= 1 << bit
    assert 1 + 8 * len(raw) == len(seen)


def test_order_matters() -> None:
    """Swapping two elements, or flipping one bit in both, changes the digest."""
    tensor = torch.arange(8, dtype=torch.float32)
    swapped = tensor[[1, 0, 2, 3, 4, 5, 6, 7]]
    flipped = tensor.clone()
    flipped.view(torch.int32)[:2] ^= 1
    digests = {digest.of_tensor(each) for each in (tensor, swapped, flipped)}
    assert len(digests) == 3


def test_the_digest_of_a_batch_depends_on_names_shapes_and_values() -> None:
    """The same values under another name or in another shape have another digest."""
    values = torch.arange(6)
    batch = digest.of_batch({"a": values})
    assert batch == digest.of_batch({"a": values.clone()})
    assert batch != digest.of_batch({"b": values})
    assert batch != digest.of_batch({"a": values.view(2, 3)})


def test_a_state_covers_each_of_its_tensors() -> None:
    """Changing either average of AdamW, or its step, changes the digest of the state."""
    state = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3), "exp_avg_sq": torch.ones(3)}
    seen = {digest.of_state(state)}
    for name in state:
        seen.add(digest.of_state({**state, name: state[name] + 1}))
    assert len(seen) == 4
    assert digest.of_state({}) == 0


def test_parallel_digests_equal_sequential_ones() -> None:
    """Large and small parameters keep their order and their digests, also across threads."""
    sizes = [3, 300_000, 7, 200_000, 150_000]
    pairs = [(torch.randn(size), {"exp_avg": torch.randn(size)}) for size in sizes]
    expected = [digest.Digests(digest.of_tensor(p), digest.of_state(s)) for p, s in pairs]
    assert expected == digest.of_parameters(pairs)
    pairs[1][1]["exp_avg"].view(torch.int32)[-1] ^= 1
    found = digest.of_parameters(pairs)
    assert [1] == [number for number, each in enumerate(found) if each != expected[number]]


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.random, lambda: torch.rand(1)],
    ids=["python", "numpy", "torch"],
)
def test_a_draw_from_any_generator_changes_the_digest(draw: object) -> None:
    """One number drawn from Python, NumPy or torch changes the digest; reading does not."""
    before = digest.of_generators(torch.device("cpu"))
    assert before == digest.of_generators(torch.device("cpu"))
    draw()  # type: ignore[operator]  # each parameter is a function
    assert before != digest.of_generators(torch.device("cpu"))


def test_the_algorithms_give_different_numbers() -> None:
    """So their records are not comparable. An unknown algorithm is refused."""
    tensor = torch.randn(5)
    found = {}
    for name in (digest.HOST, digest.ON_DEVICE):
        digest.use(name)
        found[name] = (digest.of_tensor(tensor), digest.of_parameters([(tensor, {})]))
    assert found[digest.HOST] != found[digest.ON_DEVICE]
    assert all([digest.Digests(one, 0)] == parameters for one, parameters in found.values())
    with pytest.raises(ValueError, match="md5"):
        digest.use("md5")
