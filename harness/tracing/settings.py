"""The settings of a training run, read from its live objects before the first step.

These are the settings that the model, the optimizer, the loader and the schedule really have, not
those that a script intended. Objects that a loop does not pass to the probe are searched among all
objects of Python's garbage collector; a setting that is not found is left out, not guessed. Nothing
is changed, and the random generators are restored.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from harness.tracing.by_hand import rule_of
from harness.tracing.live_objects import schedules_of, training_iterators
from harness.tracing.loader_settings import loader_settings
from harness.tracing.sites import rates_when_made
from harness.tracing.task import Task

__all__ = ["draws_since_seed", "live_settings", "schedule_summary"]

_SCHEDULE_POINTS = 16  # steps at which a schedule's rate is recorded
_MAX_DRAWS = 64  # draws are counted up to here; beyond, a generator is not freshly seeded
_RECORDED_ELSEWHERE = {"params", "lr", "initial_lr", "fused", "foreach", "weight_decay"}


def live_settings(
    live: Sequence[Any],
    models: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    names: Mapping[Tensor, str],
    processes: int,
    task: Task | None,
    rates: Sequence[float] | None,
) -> dict[str, Any]:
    """Settings by dotted name, as JSON values.

    `live`: the result of `live_objects`. `models`, `optimizers`: without wrappers. `names`: of the
    watched parameters. `rates`: the learning rate of each update, if the loop passes them; else
    they come from its scheduler.
    """
    settings: dict[str, Any] = {
        **_model(models, names),
        **_optimizer(optimizers, names),
        **loader_settings(training_iterators(live, task), task),
        **_frameworks(live),
        **_prepared_schedule(live, processes),
        "rng.seed": torch.initial_seed(),
        "rng.draws_since_seed": draws_since_seed(),
        "flags.threads": torch.get_num_threads(),
        "flags.deterministic": torch.are_deterministic_algorithms_enabled(),
        "flags.float32_matmul_precision": torch.get_float32_matmul_precision(),
        **_device_flags(names),
        "processes": processes,
    }
    if task is not None:
        before = torch.get_rng_state()
        settings["collator.draws"] = _draws_between(before, task.state_after_collating())
        if rates is None and optimizers:
            rates = _rates(live, optimizers[0], processes, task.steps)
        for name, value in task.environment.items():
            if os.environ.get(name, value) != value:
                settings[f"environment.{name}"] = os.environ[name]
    if rates:
        settings["schedule"] = schedule_summary(rates)
    return settings


def _model(models: Sequence[nn.Module], names: Mapping[Tensor, str]) -> dict[str, Any]:
    dtypes: dict[str, int] = {}
    for parameter in names:
        name = str(parameter.dtype).removeprefix("torch.")
        dtypes[name] = dtypes.get(name, 0) + 1
    modules = [module for model in models for module in model.modules()]
    dropouts: dict[str, int] = {}
    places: dict[str, list[str]] = {}
    for name, module in (pair for model in models for pair in model.named_modules()):
        if isinstance(module, _DropoutNd):
            dropouts[str(module.p)] = dropouts.get(str(module.p), 0) + 1
            places.setdefault(str(module.p), []).append(name)
    eps: dict[str, int] = {}
    for module in modules:
        if "Norm" in type(module).__name__ and isinstance(getattr(module, "eps", None), float):
            eps[str(module.eps)] = eps.get(str(module.eps), 0) + 1
    settings: dict[str, Any] = {
        "weights.dtype": dtypes,
        "weights.frozen": [name for p, name in names.items() if not p.requires_grad],
        "model.training": all(model.training for model in models),
        "model.gradient_checkpointing": any(
            getattr(module, "gradient_checkpointing", False) is True for module in modules
        ),
    }
    owned = {id(parameter) for model in models for parameter in model.parameters()}
    if all(id(parameter) in owned for parameter in names):
        # Else functions may do what modules do elsewhere.
        settings |= {
            "model.dropout": dropouts,
            "model.dropout_modules": places,
            "model.norm_eps": eps,
        }
    if len(models) == 1:
        config = getattr(models[0], "config", None)
        body = getattr(models[0], "base_model_prefix", "")
        settings |= {
            "weights.declared_dtype": str(getattr(config, "dtype", None)).removeprefix("torch."),
            "model.head": {
                name: parameter.numel()
                for name, parameter in models[0].named_parameters()
                if not name.startswith(f"{body}.")
            },
            "model.attention": getattr(config, "_attn_implementation", None),
        }
    return settings


def _optimizer(
    optimizers: Sequence[torch.optim.Optimizer], names: Mapping[Tensor, str]
) -> dict[str, Any]:
    """The settings of the optimizers, as if they were one with the groups of all."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    if not groups:
        return {}
    optimized = {parameter for group in groups for parameter in group["params"]}

    def each(value_in: Callable[[dict[str, Any]], Any]) -> Any:
        """The value if all groups share it, else the parameter names by value."""
        names_of: dict[str, list[str]] = {}
        values = {}
        for group in groups:
            value = value_in(group)
            value = list(value) if isinstance(value, tuple) else value
            values[str(value)] = value
            known = [names[p] for p in group["params"] if p in names]
            if group["params"]:
                names_of.setdefault(str(value), []).extend(known)
        if len(names_of) <= 1:
            return values[next(iter(names_of or values))]
        return {value: sorted(parameters) for value, parameters in sorted(names_of.items())}

    settings = {
        "optimizer.rule": ", ".join(dict.fromkeys(map(rule_of, optimizers))),
        "optimizer.flavour": each(_flavour),
        "optimizer.learning_rate": each(_initial_rate),
        "optimizer.weight_decay": each(lambda group: group.get("weight_decay", 0.0)),
        "optimizer.without": [
            n for p, n in names.items() if p.requires_grad and p not in optimized
        ],
        "optimizer.foreign": sum(parameter not in names for parameter in optimized),
        "optimizer.rate_set_later": any(map(_rate_set_later, optimizers)),
    }
    options = dict.fromkeys(key for group in groups for key in group)
    for key in options:
        values = [group.get(key, ...) for group in groups]  # ... is not plain
        if key not in _RECORDED_ELSEWHERE and all(isinstance(value, _PLAIN) for value in values):
            settings[f"optimizer.{key}"] = each(operator.itemgetter(key))
    return settings


def _device_flags(names: Mapping[Tensor, str]) -> dict[str, Any]:
    """Flags that only a CUDA device follows."""
    if not any(parameter.is_cuda for parameter in names):
        return {}
    return {
        "flags.tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "flags.cudnn_tf32": bool(torch.backends.cudnn.allow_tf32),
        "flags.cudnn_deterministic": torch.backends.cudnn.deterministic,
        "flags.cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def _rate_set_later(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a rate is not that with which the optimizer was made, and no schedule set it."""
    made = rates_when_made(optimizer)
    now = [group.get("initial_lr", group.get("lr")) for group in optimizer.param_groups]
    return made is not None and any(
        one is not two and one != two for one, two in zip(made, now, strict=False)
    )


def _initial_rate(group: dict[str, Any]) -> float | None:
    """The rate before any schedule; None if the optimizer computes its own."""
    rate = group.get("initial_lr", group.get("lr"))
    return None if rate is None else float(rate)


_PLAIN = (bool, int, float, str, tuple, type(None))


def _flavour(group: dict[str, Any]) -> str:
    """The implementation that a group's options select; on a CPU torch selects the for-loop."""
    if group.get("fused"):
        return "fused"
    foreach = group.get("foreach")
    if foreach is None:
        foreach = any(isinstance(p, Tensor) and p.is_cuda for p in group["params"])
    return "foreach" if foreach else "for_loop"


def _frameworks(live: Sequence[Any]) -> dict[str, Any]:
    """Whether a live Trainer leaves the average of the loss to its model."""
    for trainer in live:
        leaves = getattr(trainer, "model_accepts_loss_kwargs", None)
        if leaves is not None:
            return {"trainer.leaves_average_to_model": bool(leaves)}
    return {}


def _rates(
    live: Sequence[Any], optimizer: torch.optim.Optimizer, processes: int, steps: int
) -> list[float] | None:
    """The rates that the optimizer's scheduler will set; None if they cannot be computed ahead."""
    for scheduler in schedules_of(live, [optimizer]):
        if isinstance(scheduler, LambdaLR):
            rate, base = scheduler.lr_lambdas[0], float(scheduler.base_lrs[0])
            stride = _stride(live, scheduler, processes)
            return [base * rate(step * stride) for step in range(steps)]
    return None


def _stride(live: Sequence[Any], scheduler: LRScheduler, processes: int) -> int:
    """Scheduler steps per update: one, or one per process if Accelerate prepared it."""
    for wrapper in live:
        if getattr(wrapper, "scheduler", None) is scheduler and not wrapper.split_batches:
            return processes
    return 1


def _prepared_schedule(live: Sequence[Any], processes: int) -> dict[str, Any]:
    """How often Accelerate advances a scheduler that it prepared, whatever its kind."""
    for scheduler in live:
        if issubclass(type(scheduler), LRScheduler):
            stride = _stride(live, scheduler, processes)
            if stride != 1:
                return {"schedule.steps_per_update": stride}
    return {}


def schedule_summary(rates: Sequence[float]) -> dict[str, Any]:
    """A schedule in few numbers: its length, its sum, and its rates at evenly spaced steps."""
    count = len(rates)
    last = _SCHEDULE_POINTS - 1
    points = sorted({round(place * (count - 1) / last) for place in range(_SCHEDULE_POINTS)})
    return {
        "steps": count,
        "sum": sum(rates),
        "at": {str(place + 1): rates[place] for place in points if count},
    }


def draws_since_seed() -> int | None:
    """How many numbers were drawn from the CPU's generator since its seeding; None: many."""
    seeded = torch.Generator().manual_seed(torch.initial_seed()).get_state()
    return _draws_between(seeded, torch.get_rng_state())


def _draws_between(before: Tensor, after: Tensor) -> int | None:
    """How many 32-bit draws lead from one state of the CPU's generator to another."""
    copy = torch.Generator()
    copy.set_state(before)
    for count in range(_MAX_DRAWS):
        if torch.equal(copy.get_state(), after):
            return count
        torch.empty((), dtype=torch.int32).random_(generator=copy)
    return None
