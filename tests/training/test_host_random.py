"""Numbers that the host draws for a device: the same as on a CPU, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.comparison.compare import compare
from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.variants import compare_variants
from harness.errors import SpecError
from harness.execution.parent.runner import Run, run_all
from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.case import LEAST_DRAWS, RunSpec, label
from harness.spec.expand import draw_specs, expand_by_device
from harness.training.host_random import HostRandomNumbers
from tests.support.in_process import train_in_process
from tests.support.small_runs import small_case, write_pairs

DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(3, 5),
    "randn": lambda: torch.randn(7),
    "randint": lambda: torch.randint(0, 9, (4,)),
    "randperm": lambda: torch.randperm(11),
    "rand_like": lambda: torch.rand_like(torch.ones(2, 3)),
    "bernoulli": lambda: torch.bernoulli(torch.full((6,), 0.3)),
    "bernoulli_": lambda: torch.ones(9).bernoulli_(0.4),
    "normal_": lambda: torch.ones(9).normal_(1, 2),
    "uniform_": lambda: torch.ones(9, dtype=torch.float64).uniform_(-1, 1),
    "exponential_": lambda: torch.ones(9).exponential_(),
    "multinomial": lambda: torch.multinomial(torch.tensor([0.2, 0.3, 0.5]), 5, replacement=True),
    "a part": lambda: torch.zeros(4, 6)[:, ::2].bernoulli_(0.5),
    "alpha_dropout": lambda: F.alpha_dropout(torch.ones(30), 0.3, training=True),
    "dropout": lambda: F.dropout(torch.ones(30), 0.3),
}


@pytest.mark.parametrize("name", DRAWS)
def test_on_a_cpu_no_bit_changes(name: str) -> None:
    """Each operation gives the same numbers, and leaves the generator in the same state."""
    torch.manual_seed(4)
    expected, state = DRAWS[name](), torch.get_rng_state()
    torch.manual_seed(4)
    with HostRandomNumbers("cpu"):
        found = DRAWS[name]()
    assert torch.equal(expected, found)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(expected, DRAWS[name]())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_what_a_gpu_calls_for_dropout_draws_what_a_cpu_draws(dtype: torch.dtype, p: float) -> None:
    """A GPU calls `native_dropout`, a CPU three operations; also in their backward passes."""
    found = []
    for on_gpu in (False, True):
        torch.manual_seed(4)
        x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
        x.requires_grad_()
        with HostRandomNumbers("cpu") if on_gpu else nullcontext():
            y = torch.native_dropout(x, p, True)[0] if on_gpu else F.dropout(x, p)
            y.float().square().sum().backward()
        assert x.grad is not None
        found.append((y.detach(), x.grad))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=2 * torch.finfo(dtype).eps, atol=0)
    assert (p in (0.0, 1.0)) == (1 == len(found[0][0].eq(0).unique()))


def test_without_training_nothing_is_drawn() -> None:
    """Nor with an explicit generator, whose numbers are the script's own."""
    state = torch.get_rng_state()
    with HostRandomNumbers("cpu"):
        assert torch.equal(torch.ones(5), torch.native_dropout(torch.ones(5), 0.5, False)[0])
        own = torch.rand(3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(torch.rand(3, generator=torch.Generator().manual_seed(1)), own)


def test_numbers_for_another_device_come_from_the_host() -> None:
    """`meta` stands for a device here: it keeps no values, and draws none by itself."""
    torch.manual_seed(4)
    torch.rand(6)
    expected = torch.get_rng_state()
    for device, state in (("meta", expected), ("cuda", None)):
        torch.manual_seed(4)
        with HostRandomNumbers(device):
            drawn = torch.rand(6, device="meta")
        assert torch.device("meta") == drawn.device
        moved = not torch.equal(torch.get_rng_state(), torch.manual_seed(4).get_state())
        assert moved == (state is not None)


def test_an_attention_kernel_that_draws_inside_is_refused() -> None:
    """Without dropout it is left alone: here it fails, since it exists on GPUs only."""
    q = torch.ones(1, 1, 4, 8)
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention.default
    with HostRandomNumbers("cpu"):
        with pytest.raises(SpecError, match=r"random_numbers=host .*efficient_attention"):
            kernel(q, q, q, None, True, 0.1)
        with pytest.raises(NotImplementedError):
            kernel(q, q, q, None, True, 0.0)


class Layer(nn.Module):
    """Attention and a linear layer, both with dropout as a CPU or as a GPU computes it."""

    def __init__(self, as_on_gpu: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self._as_on_gpu = as_on_gpu

    def forward(self, x: Tensor) -> Tensor:
        """[batch, heads, length, 8]."""
        weights = torch.softmax(x @ x.transpose(-1, -2), -1)
        return self._drop(self.linear(self._drop(weights) @ x).relu())

    def _drop(self, x: Tensor) -> Tensor:
        return torch.native_dropout(x, 0.5, True)[0] if self._as_on_gpu else F.dropout(x, 0.5)


def gradients(as_on_gpu: bool, repeated: str) -> list[Tensor]:
    """The gradients of two layers after one pass. `repeated`: how the second pass draws."""
    torch.manual_seed(4)
    layers = [Layer(as_on_gpu), Layer(as_on_gpu)]
    x = torch.randn(2, 2, 5, 8)
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": repeated == "same"}
    with HostRandomNumbers("cpu") if as_on_gpu else nullcontext():
        for layer in layers:
            x = layer(x) if repeated == "not" else checkpoint(layer, x, **options)
        x.square().sum().backward()
    return [p.grad for layer in layers for p in layer.parameters() if p.grad is not None]


def test_activation_checkpointing_repeats_the_draws() -> None:
    """As a GPU computes under the mode, and as a CPU does without. The control repeats others."""
    expected = gradients(as_on_gpu=False, repeated="not")
    for as_on_gpu, repeated in ((True, "not"), (True, "same")):
        found = gradients(as_on_gpu, repeated)
        assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))
    other = gradients(as_on_gpu=True, repeated="other")
    assert not all(torch.equal(*pair) for pair in zip(expected, other, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data"), train=80, validation=4)


def trained(data: Path, folder: Path, **settings: Any) -> RunRecord:
    spec = registry.run_spec(small_case(data, max_steps=4, **settings), "plain")
    return train_in_process(spec, folder, 4)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True}, {"attention": "eager"}])
def test_a_training_on_a_cpu_is_bit_identical(
    settings: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    """With dropout in its layers and its attention; the control is another seed."""
    one = trained(data, tmp_path / "one", **settings)
    two = trained(data, tmp_path / "two", random_numbers="host", **settings)
    labels = ("device", "host")
    assert compare(one, two, labels).first_divergence is None
    other = trained(data, tmp_path / "other", random_numbers="host", seed=43, **settings)
    assert compare(one, other, labels).first_divergence is not None


@pytest.mark.slow
def test_between_two_devices_rounding_remains(data: Path, tmp_path: Path) -> None:
    """Two threads stand for another device: they round otherwise. The control is a learning rate
    that is off by 1% there."""
    settings = {"max_steps": 4, "per_device_batch_size": 16}
    case = small_case(data, **settings).model_copy(update={"noise": LEAST_DRAWS})
    here, there = expand_by_device(case, ["cpu", "xpu"])

    def spec(number: int, **changed: Any) -> RunSpec:
        stand_in = {"device": "cpu", "name": f"there-{number}"}
        recipe = there.recipe.model_copy(update={"num_threads": 2, **changed})
        moved = there.model_copy(update={**stand_in, "recipe": recipe})
        return registry.run_spec(moved, "plain", sketch=True)

    reference = registry.run_spec(here, "plain", sketch=True)
    rate = 1.01 * case.recipe.learning_rate
    specs = [reference, spec(1), spec(2, learning_rate=rate), *draw_specs([reference])]
    runs = [Run(one, tmp_path / one.case.name / label(one)) for one in specs]
    first, sound, faulty, *draws = run_all(runs, 2, lambda _number, _event: None)
    noises = {case.name: CaseNoise(first, draws)}

    def outcome(record: RunRecord | None) -> str:
        places = [("plain", here, first), ("plain", there, record)]
        (found,) = compare_variants(places, {}, noises)
        return found.outcome

    assert "within_noise" == outcome(sound)
    assert "different" == outcome(faulty)


def test_a_compiled_model_is_refused(data: Path, tmp_path: Path) -> None:
    """Its kernels draw by themselves."""
    with pytest.raises(SpecError, match="compile=eager"):
        trained(data, tmp_path, random_numbers="host", compile="eager")
