"""Sketches are linear, unbiased and repeatable, and draw from no global generator."""

from __future__ import annotations

import pytest
import torch

from harness.tracing.sketch import BUCKETS, Sketches


def sketch(sketches: Sketches, tensor: torch.Tensor, name: str = "weight") -> torch.Tensor:
    """The sketch as a tensor."""
    return torch.tensor(sketches.of(name, tensor), dtype=torch.float64)


def test_the_sketch_of_a_difference_is_the_difference_of_sketches() -> None:
    """So the difference of weights can be estimated from two records."""
    one, two = torch.randn(40, 50), torch.randn(40, 50)
    difference = sketch(Sketches(), one.double() - two.double())
    assert torch.allclose(difference, sketch(Sketches(), one) - sketch(Sketches(), two), atol=1e-12)


def test_its_squared_norm_is_without_bias() -> None:
    """Over many names with different signs the mean is the true value; the standard deviation is at
    most sqrt(2 / buckets)."""
    sketches, tensor = Sketches(), torch.rand(64, 32)  # all positive, so that signs matter
    true = float(tensor.double().square().sum())
    found = torch.tensor(
        [float(sketch(sketches, tensor, str(i)).square().sum()) / true for i in range(400)]
    )
    assert 1.0 == pytest.approx(float(found.mean()), abs=4 * (2 / BUCKETS / 400) ** 0.5)
    assert float(found.std()) == pytest.approx((2 / BUCKETS) ** 0.5, rel=0.2)


def test_without_signs_it_would_have_bias() -> None:
    """Control: sums without signs are far from the norm."""
    tensor = torch.rand(64, 32, dtype=torch.float64)
    padded = torch.nn.functional.pad(tensor.flatten(), (0, -tensor.numel() % BUCKETS))
    plain = padded.view(-1, BUCKETS).sum(dim=0).square().sum()
    assert float(plain / tensor.square().sum()) > 10


@pytest.mark.parametrize("shape", [(), (2,), (BUCKETS,), (BUCKETS + 1,), (3, 5, 7)])
def test_a_difference_in_one_element_is_exact(shape: tuple[int, ...]) -> None:
    """In a tensor of any shape."""
    tensor = torch.zeros(shape)
    tensor.view(-1)[-1] = -0.25
    sums = sketch(Sketches(), tensor)
    assert BUCKETS == len(sums)
    assert 0.25 == float(sums.norm())


def test_signs_depend_on_the_name_alone() -> None:
    """Two processes give the same sketch; another name has other signs; nothing is drawn."""
    tensor = torch.randn(300)
    state = torch.get_rng_state()
    one, two = Sketches().of("a", tensor), Sketches().of("a", tensor)
    assert torch.equal(state, torch.get_rng_state())
    assert one == two
    assert one != Sketches().of("b", tensor)
