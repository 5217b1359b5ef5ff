"""Settings are read from live objects, not from what a script intended."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from harness.tracing.live_objects import live_objects
from harness.tracing.settings import live_settings, schedule_summary
from harness.tracing.sites import remembered
from harness.tracing.task import Task

ROWS = [{"x": torch.tensor([float(number)])} for number in range(10)]


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """As torch does."""
    return cast(dict[str, torch.Tensor], torch.utils.data.default_collate(rows))


def drawing_collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """As torch does, after three draws."""
    for _ in range(3):
        torch.empty((), dtype=torch.int32).random_()
    return collate(rows)


class Net(nn.Module):
    """A body and a head."""

    base_model_prefix = "body"

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.25))
        self.head = nn.Linear(2, 1)


def read(
    model: nn.Module, optimizer: Any, rates: list[float] | None = None, collate: Any = collate
) -> dict[str, Any]:
    """The settings of a training run of four steps."""

    def state_after_collating() -> Tensor:
        before = torch.get_rng_state()
        collate([ROWS[0]])
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        return after

    task = SimpleNamespace(
        rows=len(ROWS),
        steps=4,
        collator=collate,
        state_after_collating=state_after_collating,
        environment={
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
            "ACCELERATE_MIXED_PRECISION": "no",
        },
    )
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    live = live_objects()
    return live_settings(live, [model], [optimizer], names, 1, cast(Task, task), rates)


@pytest.fixture
def model() -> Net:
    """Built after seeding."""
    torch.manual_seed(3)
    return Net()


def test_groups_are_recorded_by_value_and_name(model: Net) -> None:
    """One value if all parameters share it, else the names by value; defaults are resolved."""
    groups = [
        {"params": [model.body[0].weight, model.head.weight], "weight_decay": 0.1},
        {"params": [model.body[0].bias, model.head.bias], "weight_decay": 0.0},
    ]
    found = read(model, torch.optim.AdamW(groups, lr=1e-3, eps=1e-6))
    expected = {"0.0": ["body.0.bias", "head.bias"], "0.1": ["body.0.weight", "head.weight"]}
    assert expected == found["optimizer.weight_decay"]
    assert (1e-3, 1e-6, [0.9, 0.999]) == (
        found["optimizer.learning_rate"],
        found["optimizer.eps"],
        found["optimizer.betas"],
    )
    assert "for_loop" == found["optimizer.flavour"]
    assert {"0.25": 1} == found["model.dropout"]
    assert ["head.weight", "head.bias"] == list(found["model.head"])


def test_parameters_without_an_optimizer_are_recorded(model: Net) -> None:
    """Tensors of the optimizer that are not in the model are counted, too."""
    optimizer = torch.optim.SGD([next(model.parameters()), nn.Parameter(torch.zeros(1))], lr=0.1)
    model.head.bias.requires_grad_(False)
    found = read(model, optimizer)
    assert ["body.0.bias", "head.weight"] == found["optimizer.without"]
    assert 1 == found["optimizer.foreign"]
    assert ["head.bias"] == found["weights.frozen"]


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (None, "sequential"),
        (RandomSampler(ROWS), "the global generator"),
        (
            RandomSampler(ROWS, generator=torch.Generator().manual_seed(3)),
            "a generator of its own, seed 3",
        ),
        ([3, 1, 2], None),
    ],
)
def test_the_loader_in_use_is_found(model: Net, sampler: Any, expected: str | None) -> None:
    """It is the loader that is being iterated over, not another one with other rows."""
    loader: Any = DataLoader(ROWS, batch_size=2, sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]  # any sequence does
    other: Any = DataLoader(ROWS[:3], batch_size=3)  # type: ignore[arg-type]  # as above
    iterators: list[Iterator[Any]] = [iter(other), iter(loader)]
    found = read(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert (2, False, 0, expected, "the workload's") == tuple(
        found[f"loader.{name}"]
        for name in ("batch_size", "drop_last", "num_workers", "sampler", "collator")
    )
    del iterators


def test_a_loader_that_is_not_in_use_is_ignored(model: Net) -> None:
    """Without iteration the loader's settings are absent."""
    waiting: Any = DataLoader(ROWS, batch_size=2)  # type: ignore[arg-type]  # any sequence does
    assert "loader.batch_size" not in read(model, torch.optim.SGD(model.parameters(), lr=0.1))
    del waiting


def test_a_schedule_is_known_before_its_first_step(model: Net) -> None:
    """A scheduler of torch and the rates that a loop passes give the same summary."""
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    assert "schedule" not in read(model, optimizer)
    expected = read(model, optimizer, [2.0, 1.5, 1.0, 0.5])["schedule"]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 4)
    assert expected == read(model, optimizer)["schedule"]
    assert {"steps": 4, "sum": 5.0, "at": {"1": 2.0, "2": 1.5, "3": 1.0, "4": 0.5}} == expected
    scheduler.base_lrs[0] = 3.0
    assert expected != read(model, optimizer)["schedule"]


def test_a_long_schedule_is_recorded_at_sixteen_steps() -> None:
    """They include the first and the last step."""
    places = list(schedule_summary([1.0] * 1000)["at"])
    assert ("1", "1000", 16) == (places[0], places[-1], len(places))


def test_draws_since_the_seed_are_counted() -> None:
    """Few draws are counted; after a model is built there are too many to count."""
    torch.manual_seed(3)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(3)
    for _ in range(5):
        torch.empty((), dtype=torch.int32).random_()
    found = read(model, optimizer)
    assert (3, 5, 0) == (found["rng.seed"], found["rng.draws_since_seed"], found["collator.draws"])
    torch.randn(1000)
    assert read(model, optimizer)["rng.draws_since_seed"] is None


def test_draws_of_a_collator_are_counted_and_undone(model: Net) -> None:
    """By hand: three numbers per batch."""
    before = torch.get_rng_state()
    found = read(model, torch.optim.SGD(model.parameters(), lr=0.1), collate=drawing_collate)
    assert 3 == found["collator.draws"]
    assert torch.equal(before, torch.get_rng_state())


def test_only_variables_that_contradict_the_recipe_are_recorded(
    model: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable with the recipe's value overrides nothing."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    found = read(model, torch.optim.SGD(model.parameters(), lr=0.1))
    environment = {name: value for name, value in found.items() if name.startswith("environment.")}
    assert {"environment.ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2"} == environment


def test_a_rate_that_is_set_after_the_optimizer_was_made_is_known(model: Net) -> None:
    """By hand. The controls: left alone, set for a group, and set by a schedule of torch."""
    with remembered():
        alone = torch.optim.SGD(model.parameters(), lr=0.1)
        grouped = torch.optim.SGD([{"params": model.parameters(), "lr": 0.3}], lr=0.1)
        scheduled = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.optim.lr_scheduler.LambdaLR(scheduled, lambda step: step / 4)
        by_hand = torch.optim.SGD(model.parameters(), lr=0.1)
        by_hand.param_groups[0]["lr"] = 0.05
        later = [
            read(model, one)["optimizer.rate_set_later"]
            for one in (alone, grouped, scheduled, by_hand)
        ]
    assert [False, False, False, True] == later
