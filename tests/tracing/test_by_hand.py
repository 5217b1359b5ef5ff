"""Trainings that use no optimizer: their updates are found by their effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.comparison.compare import compare
from harness.results.record import RunRecord
from harness.spec.command import CommandSpec
from harness.tracing.attach.attachment import Attachment
from harness.tracing.attach.recording import Recording
from harness.tracing.graph import leaves_of
from tests.tracing.test_any_training import X, Y, loss_of, net

Update = Callable[[nn.Module], None]


@torch.no_grad()
def in_place(model: nn.Module) -> None:
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.add_(parameter.grad, alpha=-0.1)


def through_data(model: nn.Module) -> None:
    """Torch counts no change of the tensor itself."""
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.data.add_(parameter.grad, alpha=-0.1)


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Callable[[], list[RunRecord]]]:
    """Attaches to this process; the function ends that and returns the records."""
    problems: list[str] = []

    def new(number: int) -> Recording:
        spec = CommandSpec(name=f"t{number}", command=("python",), folder="/")
        return Recording(tmp_path / str(number), spec, lambda device: {}, number)

    attachment = Attachment(new, problems.append)
    attachment._notice.install()

    def end() -> list[RunRecord]:
        attachment.close()
        attachment._notice.remove()
        assert not problems
        return [RunRecord(path.parent) for path in sorted(tmp_path.glob("*/record.json"))]

    yield end
    attachment.close()
    attachment._notice.remove()


def train(model: nn.Module, update: Update, micro_batches: int = 1) -> None:
    for _ in range(3):
        model.zero_grad()
        for _ in range(micro_batches):
            loss_of(model).backward()
        update(model)


@pytest.mark.parametrize("update", [in_place, through_data])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_each_update_is_recorded_with_its_passes(
    update: Update, micro_batches: int, attached: Callable[[], list[RunRecord]]
) -> None:
    """Also the forward passes before the first backward pass showed that there is a training."""
    torch.manual_seed(1)
    train(net(), update, micro_batches)
    (record,) = attached()

    assert (3, 3 * micro_batches) == (record.header.steps, record.header.micro_batches)
    assert record.header.probe_fault is None
    assert not record.header.unseen
    assert [8] * 3 * micro_batches == [
        len(rows) for rows in record.micro_batches["rows"].to_pylist()
    ]
    assert ["the script itself"] == [one.rule for one in record.header.optimizers]
    assert ["0.weight", "0.bias", "2.weight", "2.bias"] == list(record.header.parameter_names)
    assert [[None]] * 3 == record.steps["learning_rate"].to_pylist()
    assert 4 == len(set(record.tensors["weight"].to_pylist()[::4]))  # before, and after each


def test_the_record_is_that_of_the_optimizer_but_for_the_rate(
    attached: Callable[[], list[RunRecord]],
) -> None:
    """The same training, once by hand and once by SGD: equal weights, gradients and losses. Only
    the settings of the optimizer and its rate are not there."""
    torch.manual_seed(1)
    train(net(), in_place)
    torch.manual_seed(1)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, lambda _: optimizer.step())
    by_hand, by_optimizer = attached()

    found = compare(by_hand, by_optimizer, ("by hand", "SGD"))
    differing = [one.stage for one in found.stages if one.differing]
    assert ["config", "learning_rate"] == differing, found.doubts


def test_passes_before_an_optimizer_is_made_are_no_training(
    attached: Callable[[], list[RunRecord]],
) -> None:
    """A script may look at gradients first. Control: with an update they are one."""
    torch.manual_seed(1)
    model = net()
    loss_of(model).backward()
    model.zero_grad()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, lambda _: optimizer.step())
    (record,) = attached()
    assert (3, 3) == (record.header.steps, record.header.micro_batches)
    assert ["SGD"] == [one.rule for one in record.header.optimizers]


def test_an_optimizer_may_go_on_after_updates_by_hand(
    attached: Callable[[], list[RunRecord]],
) -> None:
    """One training, since it has the same parameters."""
    torch.manual_seed(1)
    model = net()
    train(model, in_place)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, lambda _: optimizer.step())
    (record,) = attached()
    assert 6 == record.header.steps
    assert [("the script itself", 3), ("SGD", 3)] == [
        (one.rule, one.steps) for one in record.header.optimizers
    ]


def test_another_model_is_another_training(attached: Callable[[], list[RunRecord]]) -> None:
    torch.manual_seed(1)
    train(net(), in_place)
    train(nn.Sequential(nn.Linear(3, 1)), through_data)
    first, second = attached()
    assert (3, 3) == (first.header.steps, second.header.steps)
    assert [8] * 3 == [len(rows) for rows in second.micro_batches["rows"].to_pylist()]


def test_gradients_without_an_update_leave_no_record(
    attached: Callable[[], list[RunRecord]],
) -> None:
    model = net()
    for _ in range(3):
        loss_of(model).backward()
    assert [] == attached()


def test_leaves_are_the_tensors_that_get_gradients() -> None:
    weight, bias = torch.ones(3, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    frozen = torch.ones(1)
    loss = ((X @ weight + bias) * frozen - Y).pow(2).mean()
    assert {id(weight), id(bias)} == {id(leaf) for leaf in leaves_of([loss])}
    assert [] == leaves_of([Tensor([1.0])])


def bare(seed: int, inputs: Tensor, rate: float) -> None:
    """A network of two bare tensors, with dropout."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(1)
    w1 = torch.randn(3, 4, generator=generator).requires_grad_()
    w2 = torch.randn(4, 1, generator=generator).requires_grad_()
    for _ in range(3):
        hidden = nn.functional.dropout(torch.tanh(inputs @ w1), 0.5)
        (hidden @ w2 - Y).pow(2).mean().backward()
        with torch.no_grad():
            for weight in (w1, w2):
                assert weight.grad is not None
                weight -= rate * weight.grad
                weight.grad.zero_()


@pytest.mark.parametrize(
    ("seed", "inputs", "rate", "first"),
    [
        (1, X, 0.1, None),
        (2, X, 0.1, (1, "batch_content")),  # autograd keeps the mask of the dropout too
        (1, X + 1, 0.1, (1, "batch_content")),
        (1, X, 0.2, (1, "weights")),
    ],
)
def test_a_training_of_bare_tensors_is_compared_with_its_batches(
    seed: int,
    inputs: Tensor,
    rate: float,
    first: tuple[int, str] | None,
    attached: Callable[[], list[RunRecord]],
) -> None:
    """They are read from what autograd keeps. Each planted change shows where it comes in."""
    bare(1, X, 0.1)
    bare(seed, inputs, rate)
    one, other = attached()
    assert not one.header.unseen

    found = compare(one, other, ("one", "other"))
    place = found.first_divergence and (found.first_divergence.step, found.first_divergence.stage)
    assert first == place
    assert ("different" if first else "identical") == found.outcome, found.doubts


def test_a_batch_of_a_graph_is_not_compared_with_that_of_a_module(
    attached: Callable[[], list[RunRecord]],
) -> None:
    """The same training with and without modules: no difference is shown that there is not."""
    first, second = torch.linspace(-1, 1, 12).reshape(3, 4), torch.linspace(-1, 1, 4).reshape(4, 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w1, self.w2 = nn.Parameter(first.clone()), nn.Parameter(second.clone())

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.w1) @ self.w2

    model = Net()
    train(model, in_place)
    w1, w2 = first.clone().requires_grad_(), second.clone().requires_grad_()
    for _ in range(3):
        nn.functional.mse_loss(torch.tanh(X @ w1) @ w2, Y).backward()
        with torch.no_grad():
            for weight in (w2, w1):
                assert weight.grad is not None
                weight.add_(weight.grad, alpha=-0.1)
                weight.grad = None
    with_module, without = attached()
    found = compare(with_module, without, ("module", "tensors"))
    assert found.first_divergence is None or "config" == found.first_divergence.stage
    assert {"batch_content", "rng"}.isdisjoint(stage.stage for stage in found.stages)
    assert "inconclusive" == found.outcome
