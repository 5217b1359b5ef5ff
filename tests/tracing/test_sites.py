"""The lines that made the parts of a training are remembered, and nothing else changes."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader, RandomSampler, Sampler

from harness.tracing import sites
from harness.tracing.loss_function import loss_settings

HERE = Path(__file__).name
KINDS: tuple[Any, ...] = (Optimizer, LRScheduler, DataLoader, RandomSampler)


@pytest.fixture
def remembered() -> Iterator[None]:
    """Sites are remembered during the test."""
    with sites.remembered():
        yield


def here() -> str:
    """The line that calls this function."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{HERE}:{frame.f_back.f_lineno}"


def place(made: Any) -> str:
    """File and line that made something."""
    site = sites.site_of(made)
    return "" if site is None else Path(site.place).name


def test_each_part_has_the_line_that_made_it(remembered: None) -> None:
    """Also where a library's class is made inside a function, and for a subclass."""

    class Mine(torch.optim.SGD):
        """A subclass of a user's own."""

    parameter = nn.Parameter(torch.zeros(1))
    made: list[tuple[str, Any]] = [(here(), torch.optim.AdamW([parameter]))]
    made += [(here(), Mine([parameter], lr=0.1))]
    made += [(here(), LambdaLR(made[0][1], float))]
    made += [(here(), DataLoader([1, 2], shuffle=True))]  # type: ignore[arg-type]  # any sequence does
    made += [(here(), RandomSampler([1]))]
    made += [(here(), nn.Dropout(0.1))]
    assert [line for line, _ in made] == [place(part) for _, part in made]
    loader: Any = made[3][1]
    assert [made[3][0]] * 2 == [place(loader.sampler), place(loader.batch_sampler)]
    assert "torch.optim.AdamW([parameter])" == getattr(sites.site_of(made[0][1]), "source", "")


def test_a_probability_that_is_set_later_has_that_line(remembered: None) -> None:
    """As a script changes the dropout of a model that a library made."""
    dropout = nn.Dropout(0.1)
    dropout.train()
    line, dropout.p = here(), 0.3
    assert line == place(dropout)
    assert 0.3 == dropout.p


def test_only_clipping_of_the_first_step_is_noted(remembered: None) -> None:
    """By whatever name it is called, with the arguments by place or by name."""
    parameter = nn.Parameter(torch.ones(2))
    (parameter * 4).sum().backward()
    sites.wait_for_clips()
    line, _ = here(), nn.utils.clip_grad_norm_(parameter, max_norm=0.5)
    nn.utils.clip_grad_value_([parameter], 0.1)
    first, second = sites.clips_until_now()
    nn.utils.clip_grad_norm_(parameter, 0.25)
    assert [] == sites.clips_until_now()
    assert ("norm", 0.5, 2.0) == (first.kind, first.limit, first.norm_type)
    assert ("value", 0.1) == (second.kind, second.limit)
    assert first.site is not None
    assert line == Path(first.site.place).name
    assert torch.allclose(torch.full((2,), 0.1), parameter.grad)  # type: ignore[arg-type]  # it has one


def test_wrong_calls_fail_as_without_it(remembered: None) -> None:
    """The error is that of torch."""
    sites.wait_for_clips()
    with pytest.raises(TypeError, match="max_norm"):
        nn.utils.clip_grad_norm_([])  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="dropout probability"):
        nn.Dropout(2)
    with pytest.raises(AttributeError):
        nn.Dropout.__new__(nn.Dropout).inner = nn.Linear(1, 1)
    assert [] == sites.clips_until_now()


def test_classes_behave_as_without_it() -> None:
    """Signatures, instances, subclasses, copies and pickles; afterwards the originals are back."""
    signatures = [inspect.signature(kind) for kind in KINDS]
    before = [kind.__init__ for kind in KINDS]
    clip = nn.utils.clip_grad_norm_
    with sites.remembered():
        assert signatures == [inspect.signature(kind) for kind in KINDS]
        optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
        dropout = nn.Dropout(0.25)
        assert isinstance(optimizer, Optimizer)
        assert issubclass(RandomSampler, Sampler)
        assert 0.25 == pickle.loads(pickle.dumps(dropout)).p  # noqa: S301  # made here
        assert 0.25 == copy.deepcopy(dropout).p
        again = pickle.loads(pickle.dumps(optimizer))  # noqa: S301  # as above
        assert type(optimizer) is type(again)
        assert nn.utils.clip_grad_norm_ is pickle.loads(  # noqa: S301  # as above
            pickle.dumps(nn.utils.clip_grad_norm_)
        )
    assert before == [kind.__init__ for kind in KINDS]
    assert nn.utils.clip_grad_norm_ is clip
    assert "__setattr__" not in nn.modules.dropout._DropoutNd.__dict__
    assert sites.site_of(optimizer) is None


def test_nothing_is_known_of_what_was_made_before() -> None:
    """The control: a part has no line unless it was made while sites are remembered."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    with sites.remembered():
        assert sites.site_of(optimizer) is None


SCORES = torch.tensor([[2.0, 1.0, 0.5], [0.1, 0.2, 0.3]], requires_grad=True)
TARGETS = torch.tensor([0, 2])
CROSS = {"loss.function": "cross_entropy", "loss.reduction": "mean", "loss.label_smoothing": 0.0}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nn.functional.cross_entropy(SCORES, TARGETS), CROSS),
        (nn.functional.cross_entropy(SCORES, TARGETS) / 4, CROSS),
        (
            nn.functional.cross_entropy(SCORES, TARGETS, label_smoothing=0.1),
            {**CROSS, "loss.label_smoothing": 0.1},
        ),
        (
            nn.functional.cross_entropy(SCORES, TARGETS, reduction="sum", label_smoothing=0.25) / 2,
            {**CROSS, "loss.reduction": "sum", "loss.label_smoothing": 0.25},
        ),
        (0.9 * nn.functional.cross_entropy(SCORES, TARGETS) + 0.1 * SCORES.sum(), CROSS),
        (
            nn.functional.mse_loss(SCORES.sum(1), TARGETS.float()),
            {"loss.function": "mse_loss", "loss.reduction": "mean"},
        ),
        (nn.functional.nll_loss(SCORES, TARGETS), {"loss.function": "nll_loss"}),
        (nn.functional.cross_entropy(SCORES, TARGETS) + SCORES.square().mean(), CROSS),
        (SCORES.square().mean(), {}),
        (SCORES.detach().sum(), {}),
        (
            nn.functional.cross_entropy(SCORES, TARGETS)
            + nn.functional.mse_loss(SCORES, torch.zeros(2, 3)),
            {},
        ),
    ],
)
def test_the_loss_is_read_from_its_graph(loss: Tensor, expected: dict[str, Any]) -> None:
    """A loss of unknown parts, or of several known ones, has no settings."""
    found = loss_settings([loss])
    assert expected == {name: value for name, value in found.items() if name in expected}
    assert bool(expected) == bool(found)


class Unhashable(torch.optim.SGD):
    """An optimizer that cannot be the key of a mapping."""

    __hash__ = None  # type: ignore[assignment]  # on purpose


def test_an_optimizer_that_cannot_be_remembered_is_made_all_the_same() -> None:
    """No fault of the harness may reach the program; the rates of another one are known."""
    weights = [torch.nn.Parameter(torch.zeros(1))]
    with sites.remembered():
        Unhashable(weights, lr=0.1)
        known = torch.optim.SGD(weights, lr=0.2)
        assert (0.2,) == sites.rates_when_made(known)
