"""How a training is set up, read from its living objects before the first step.

Whatever a script meant to set, these are the settings that its model, its optimizer, its loader and
its schedule really have. Objects that a loop does not hand over are looked up among all those that
Python keeps; what is not found there is left out rather than guessed. Nothing is changed, and no
random number is drawn that is not put back.
"""

from __future__ import annotations

import gc
import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import RandomSampler, SequentialSampler
from torch.utils.data.dataloader import _BaseDataLoaderIter
from torch.utils.data.distributed import DistributedSampler

from harness.results.header import GLOBAL_GENERATOR
from harness.spec.recipe import Recipe
from harness.tracing.hooks import unwrapped_optimizer
from harness.training.seeding import generators_restored
from harness.training.workload import Workload

__all__ = ["draws_since_seed", "live_settings", "schedule_summary"]

_KNOTS = 16  # places of a schedule that are told one by one
_DRAWS = 64  # so many numbers are counted; a generator that gave more is not freshly seeded
_OF_LIBRARIES = (
    ("transformers.trainer", "Trainer"),
    ("accelerate.scheduler", "AcceleratedScheduler"),
)
_NOT_OF_THE_RULE = {"params", "lr", "initial_lr", "fused", "foreach", "weight_decay"}


def live_settings(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    workload: Workload,
    recipe: Recipe,
    steps: int,
    rates: Sequence[float] | None,
) -> dict[str, Any]:
    """Settings by dotted name, as JSON values.

    `model`, `optimizer`: without wrappers. `steps`: how many there are to be. `rates`: the learning
    rate of each, where the loop told them; None: as its scheduler has them, if there is one.
    """
    living = _living()
    settings: dict[str, Any] = {
        **_model(model),
        **_optimizer(model, optimizer),
        **_loader(living, workload),
        **_frameworks(living),
        "collator.draws": _collator_draws(workload),
        "rng.seed": torch.initial_seed(),
        "rng.draws_since_seed": draws_since_seed(),
        "flags.threads": torch.get_num_threads(),
        "flags.deterministic": torch.are_deterministic_algorithms_enabled(),
        "flags.float32_matmul_precision": torch.get_float32_matmul_precision(),
        "processes": workload.world_size,
    }
    if rates is None:
        rates = _rates(living, optimizer, workload, steps)
    if rates:
        settings["schedule"] = schedule_summary(rates)
    for name, value in _overruling(recipe):
        settings[f"environment.{name}"] = value
    return settings


def _model(model: nn.Module) -> dict[str, Any]:
    dtypes: dict[str, int] = {}
    for parameter in model.parameters():
        name = str(parameter.dtype).removeprefix("torch.")
        dtypes[name] = dtypes.get(name, 0) + 1
    dropouts: dict[str, int] = {}
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            dropouts[str(module.p)] = dropouts.get(str(module.p), 0) + 1
    config = getattr(model, "config", None)
    body = getattr(model, "base_model_prefix", "")
    return {
        "weights.dtype": dtypes,
        "weights.declared_dtype": str(getattr(config, "dtype", None)).removeprefix("torch."),
        "weights.frozen": [n for n, p in model.named_parameters() if not p.requires_grad],
        "model.head": {
            name: parameter.numel()
            for name, parameter in model.named_parameters()
            if not name.startswith(f"{body}.")
        },
        "model.attention": getattr(config, "_attn_implementation", None),
        "model.dropout": dropouts,
        "model.training": model.training,
        "model.gradient_checkpointing": any(
            getattr(module, "gradient_checkpointing", False) for module in model.modules()
        ),
    }


def _optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    held = {parameter for group in groups for parameter in group["params"]}

    def each(value_in: Callable[[dict[str, Any]], Any]) -> Any:
        """One value where all groups have it; else by value the names of its parameters."""
        found: dict[str, list[str]] = {}
        values = {}
        for group in groups:
            value = value_in(group)
            value = list(value) if isinstance(value, tuple) else value
            values[str(value)] = value
            known = [names[p] for p in group["params"] if p in names]
            if group["params"]:
                found.setdefault(str(value), []).extend(known)
        if len(found) <= 1:
            return values[next(iter(found or values))]
        return {value: sorted(parameters) for value, parameters in sorted(found.items())}

    settings = {
        "optimizer.rule": type(optimizer).__name__,
        "optimizer.flavour": each(_flavour),
        "optimizer.learning_rate": each(lambda group: group.get("initial_lr", float(group["lr"]))),
        "optimizer.weight_decay": each(lambda group: group.get("weight_decay", 0.0)),
        "optimizer.without": [n for p, n in names.items() if p.requires_grad and p not in held],
        "optimizer.foreign": sum(parameter not in names for parameter in held),
    }
    options = dict.fromkeys(key for group in groups for key in group)
    for key in options:
        values = [group.get(key, ...) for group in groups]  # ... is none of the plain ones
        if key not in _NOT_OF_THE_RULE and all(isinstance(value, _PLAIN) for value in values):
            settings[f"optimizer.{key}"] = each(operator.itemgetter(key))
    return settings


_PLAIN = (bool, int, float, str, tuple, type(None))


def _flavour(group: dict[str, Any]) -> str:
    """Which implementation a group's options choose; torch's own choice on CPUs is a for-loop."""
    if group.get("fused"):
        return "fused"
    foreach = group.get("foreach")
    if foreach is None:
        foreach = any(isinstance(p, Tensor) and p.is_cuda for p in group["params"])
    return "foreach" if foreach else "for_loop"


def _living() -> list[Any]:
    """The loaders, schedules and trainers among all objects that Python's collector knows."""
    kinds: list[type] = [_BaseDataLoaderIter, LRScheduler]
    for module, name in _OF_LIBRARIES:  # not imported, they have made none
        library = sys.modules.get(module)
        if library is not None:
            kinds.append(getattr(library, name))
    return [found for found in gc.get_objects() if issubclass(type(found), tuple(kinds))]


def _loader(living: list[Any], workload: Workload) -> dict[str, Any]:
    """Of the loader that is iterated over now: the one that the training batches come from."""
    rows = len(workload.train_set)
    for iterator in living:
        if not issubclass(type(iterator), _BaseDataLoaderIter):
            continue
        batches = iterator._index_sampler
        if len(iterator._dataset) != rows or getattr(batches, "batch_size", None) is None:
            continue
        collator = iterator._collate_fn
        name = getattr(collator, "__qualname__", type(collator).__qualname__)
        return {
            "loader.batch_size": batches.batch_size,
            "loader.drop_last": bool(getattr(batches, "drop_last", False)),
            "loader.num_workers": iterator._num_workers,
            "loader.sampler": _sampler(batches),
            "loader.fetched": iterator._num_yielded,
            "loader.collator": "the workload's" if collator is workload.collate else name,
        }
    return {}


def _sampler(batches: Any) -> str | None:
    """Where the order of the rows comes from; None for what does not tell."""
    while hasattr(batches, "batch_sampler"):  # Accelerate's shards wrap the batches of others
        batches = batches.batch_sampler
    sampler = getattr(batches, "sampler", None)
    if isinstance(sampler, SequentialSampler):
        return "sequential"
    if isinstance(sampler, DistributedSampler):
        return f"strided, seed {sampler.seed}" if sampler.shuffle else "strided, in order"
    if type(sampler).__name__ == "SeedableRandomSampler":
        return f"a generator of its own, seed {getattr(sampler, 'initial_seed', None)}"
    if isinstance(sampler, RandomSampler):
        own = sampler.generator is not None
        return "a generator of its own" if own else GLOBAL_GENERATOR
    return None


def _frameworks(living: list[Any]) -> dict[str, Any]:
    """What a living Trainer has decided about the loss of its model."""
    for trainer in living:
        leaves = getattr(trainer, "model_accepts_loss_kwargs", None)
        if leaves is not None:
            return {"trainer.leaves_average_to_model": bool(leaves)}
    return {}


def _rates(
    living: list[Any], optimizer: torch.optim.Optimizer, workload: Workload, steps: int
) -> list[float] | None:
    """Of the scheduler that drives the optimizer, where its rates can be told beforehand."""
    for scheduler in living:
        if not issubclass(type(scheduler), LambdaLR):
            continue
        if unwrapped_optimizer(scheduler.optimizer) is optimizer:
            rate, base = scheduler.lr_lambdas[0], float(scheduler.base_lrs[0])
            stride = _stride(living, scheduler, workload)
            return [base * rate(step * stride) for step in range(steps)]
    return None


def _stride(living: list[Any], scheduler: LRScheduler, workload: Workload) -> int:
    """How often it is moved on at each step: one that Accelerate prepared, once a process."""
    for wrapper in living:
        if getattr(wrapper, "scheduler", None) is scheduler and not wrapper.split_batches:
            return workload.world_size
    return 1


def schedule_summary(rates: Sequence[float]) -> dict[str, Any]:
    """A schedule in few numbers: its length, its sum, and its rates at places evenly spaced."""
    count = len(rates)
    knots = sorted({round(place * (count - 1) / (_KNOTS - 1)) for place in range(_KNOTS)})
    return {
        "steps": count,
        "sum": sum(rates),
        "at": {str(place + 1): rates[place] for place in knots if count},
    }


def _collator_draws(workload: Workload) -> int | None:
    """How many numbers making a batch draws from torch's global generator; None: many."""
    with generators_restored():
        before = torch.get_rng_state()
        workload.collate([workload.train_set[0]])
        return _draws_since(before)


def draws_since_seed() -> int | None:
    """How many numbers the CPU's generator has given since it was seeded; None: many."""
    return _draws_since(torch.Generator().manual_seed(torch.initial_seed()).get_state())


def _draws_since(state: Tensor) -> int | None:
    """How many 32-bit numbers lie between `state` and where the CPU's generator stands now."""
    now = torch.get_rng_state()
    again = torch.Generator()
    again.set_state(state)
    for count in range(_DRAWS):
        if torch.equal(again.get_state(), now):
            return count
        torch.empty((), dtype=torch.int32).random_(generator=again)
    return None


def _overruling(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Variables by which Accelerate overrules the code, and which say otherwise than the recipe."""
    asked = {
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": str(recipe.gradient_accumulation_steps),
        "ACCELERATE_MIXED_PRECISION": "no" if recipe.precision == "fp32" else recipe.precision,
    }
    for name, value in asked.items():
        if os.environ.get(name, value) != value:
            yield name, os.environ[name]
