"""Which module an optimizer trains."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD

from harness.tracing.attach.modules import targets


class Around(nn.Module):
    """A wrapper with a list inside, which cannot be called."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList([inner])

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            value = part(value)
        return value


def test_the_smallest_module_is_found_inside_its_wrappers() -> None:
    """Among those that own all parameters; its names are those of the innermost."""
    inner = nn.Linear(2, 3)
    outer = Around(inner)
    larger = nn.Sequential(outer, nn.Linear(3, 1))
    (target,) = targets([SGD(outer.parameters())], None)
    assert target.model is inner
    assert outer in target.wrappers
    (target,) = targets([SGD(larger.parameters())], None)
    assert target.model is larger


def test_a_list_of_modules_is_no_model() -> None:
    """It is never called; the module that holds it is."""
    holder = Around(nn.Linear(2, 2))
    holder.parts.append(nn.Linear(2, 2))
    (target,) = targets([SGD(holder.parameters())], None)
    assert target.model is holder


def test_the_compiled_form_is_watched() -> None:
    """A hook on the module inside would be compiled; an uncompiled one, for control, is itself."""
    plain = nn.Linear(2, 2)
    assert targets([SGD(plain.parameters())], None)[0].watched is plain
    compiled = torch.compile(plain, backend="eager")
    assert targets([SGD(plain.parameters())], None)[0].watched is compiled


def test_several_optimizers_have_one_module_or_one_each() -> None:
    """Two parts of one model are that model; two models are two."""
    whole = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    parts = [SGD(each.parameters()) for each in whole]
    assert [whole] == [target.model for target in targets(parts, None)]
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    several = [SGD(one.parameters()), SGD(two.parameters())]
    assert [one, two] == [target.model for target in targets(several, None)]


def test_parameters_of_several_modules_and_of_none() -> None:
    """One optimizer over two models and a bare tensor: both models, and the tensor by number."""
    one, two = nn.Linear(2, 2), nn.Linear(3, 3)
    bare = torch.zeros(2, requires_grad=True)
    found = targets([SGD([*one.parameters(), *two.parameters(), bare])], None)
    assert {id(one), id(two), id(None)} == {id(target.model) for target in found}
    (alone,) = (target for target in found if target.model is None)
    assert {"param_0": bare} == alone.watched


def test_modules_of_equal_size_are_in_the_order_of_the_optimizer() -> None:
    """However old they are, and wherever they are held; a larger one comes first."""
    small = [nn.Linear(2, 1) for _ in range(4)]
    large = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]):
        parts = [small[place] for place in order]
        optimizer = SGD([each for part in (*parts, large) for each in part.parameters()], lr=0.1)

        found = [target.model for target in targets([optimizer], None)]

        assert [large, *parts] == found


def test_of_modules_with_the_same_parameters_the_called_one_is_taken() -> None:
    """Neither holds the other."""
    first = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    second = nn.Sequential(*first.children())
    for called in (first, second):
        (target,) = targets([SGD(first.parameters())], called)
        assert target.model is called
