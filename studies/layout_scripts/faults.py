"""Faults of layouts: which line of `train.py` becomes what, and where it first shows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault"]

_BACKWARD = "        loss.backward()\n"
_STEP = "        optimizer.step()\n"
_WATCH = "    watch(wrapped, optimizer)\n"


@dataclass(frozen=True)
class Fault:
    """One planted fault, compared with the sound run of the same layout."""

    name: str
    layout: str
    old: str
    new: str
    step: int
    stage: str
    tensor: str | None
    rank: int | None
    """The process that differs; None: all of them, or that of the data."""
    kind: str = "exact"


def _after(line: str, *added: str) -> tuple[str, str]:
    indent = line[: len(line) - len(line.lstrip())]
    return line, line + "".join(f"{indent}{each}\n" for each in added)


def _before(line: str, *added: str) -> tuple[str, str]:
    indent = line[: len(line) - len(line.lstrip())]
    return line, "".join(f"{indent}{each}\n" for each in added) + line


def _drift(tensor: str, rank: int, step: int) -> tuple[str, str]:
    """One process changes an element of its own, just before an update."""
    return _before(
        _STEP,
        f"if dist.get_rank() == {rank} and step == {step}:",
        f"    local(model.get_parameter({tensor!r}).data).view(-1)[1] += 0.25",
    )


FAULTS = (
    Fault("ddp: a replica drifts", "ddp", *_drift("up.weight", 1, 3), 3, "weights", "up.weight", 1),
    Fault(
        "ddp: a gradient that is not reduced", "ddp",
        *_before(
            "    if layout == \"ddp\":\n",
            "DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(",
            "    model, [\"down.bias\"]",
            ")",
        ),
        1, "gradients", "down.bias", None,
    ),
    Fault(
        "ddp: a gradient that is reduced twice", "ddp",
        *_after(_BACKWARD, "dist.all_reduce(model.up.bias.grad)"),
        1, "weights", "up.bias", None, "momentum",
    ),
    Fault(
        "ddp: all-reduce in bf16", "ddp",
        *_before(
            _WATCH,
            "def in_bf16(group, bucket):",
            "    sent = bucket.buffer().bfloat16() / 2",
            "    future = dist.all_reduce(sent, async_op=True).get_future()",
            "    return future.then(lambda done: done.value()[0].double())",
            "wrapped.register_comm_hook(None, in_bf16)",
        ),
        1, "gradients", "gain.weight", None,
    ),
    Fault(
        "ddp: every process reads the same rows", "ddp",
        "    wrapped, part, parts = spread(model, layout)\n",
        "    wrapped, part, parts = *spread(model, layout)[:1], 0, 2\n",
        1, "data_order", None, 1,
    ),
    Fault(
        "fsdp2: a sum where the mean belongs", "fsdp2",
        *_before("        fully_shard(model, mesh=mesh)\n    elif layout == \"tp\"",
                 "model.up.set_gradient_divide_factor(1.0)"),
        1, "gradients", "up.weight", None,
    ),
    Fault(
        "fsdp2: reduce-scatter in bf16", "fsdp2",
        "        fully_shard(model.up, mesh=mesh)\n",
        "        from torch.distributed.fsdp import MixedPrecisionPolicy\n"
        "        policy = MixedPrecisionPolicy(reduce_dtype=torch.bfloat16)\n"
        "        fully_shard(model.up, mesh=mesh, mp_policy=policy)\n",
        1, "gradients", "up.weight", None,
    ),
    Fault(
        "fsdp2: clipped by the norm of the own share", "fsdp2",
        "            nn.utils.clip_grad_norm_(wrapped.parameters(), 0.1)\n",
        "            for p in wrapped.parameters():\n"
        "                p.grad.mul_(0.1 / torch.stack([local(q.grad).norm()\n"
        "                    for q in wrapped.parameters()]).norm())\n",
        1, "weights", "gain.weight", None, "usual",
    ),
    Fault(
        "fsdp2: a share drifts", "fsdp2", *_drift("down.weight", 1, 3), 3, "weights",
        "down.weight", 1,
    ),
    Fault(
        "fsdp2: shares at the wrong offset", "fsdp2",
        *_before(
            _WATCH,
            "halves = model.up.weight.full_tensor().detach().chunk(2)",
            "local(model.up.weight.data).copy_(halves[1 - dist.get_rank()])",
        ),
        0, "initial_weights", "up.weight", None,
    ),
    Fault(
        "fsdp2: the same dropout on each process", "fsdp2",
        "    torch.manual_seed(seed + part)\n", "    torch.manual_seed(seed)\n",
        1, "rng", None, 1, "usual",
    ),
    Fault(
        "fsdp2: the state of one share is lost", "fsdp2",
        *_before(
            _STEP,
            "if dist.get_rank() == 0 and step == 4:",
            "    local(optimizer.state[model.up.bias][\"moves\"]).zero_()",
        ),
        4, "weights", "up.bias", 0,
    ),
    Fault(
        "fsdp2: a share whose gradient is lost", "fsdp2",
        *_before(
            _STEP,
            "if dist.get_rank() == 1 and step == 2:",
            "    local(model.down.bias.grad).zero_()",
        ),
        2, "weights", "down.bias", 1,
    ),
    Fault(
        "tp: a replicated tensor drifts", "tp", *_drift("gain.weight", 1, 3), 3, "weights",
        "gain.weight", 1,
    ),
    Fault(
        "tp: shares at the wrong offset", "tp",
        *_before(
            _WATCH,
            "halves = model.down.weight.full_tensor().detach().chunk(2, 1)",
            "local(model.down.weight.data).copy_(halves[1 - dist.get_rank()])",
        ),
        0, "initial_weights", "down.weight", None,
    ),
    Fault(
        "tp: a gradient is halved on one process", "tp",
        *_before(_WATCH, "model.up.weight.register_hook(lambda g: g / (1 + dist.get_rank()))"),
        1, "gradients", "up.weight", 1,
    ),
    Fault(
        "fsdp2-tp: a share drifts", "fsdp2-tp", *_drift("down.weight", 3, 2), 2, "weights",
        "down.weight", 3,
    ),
    Fault(
        "fsdp2-tp: the mean over too many processes", "fsdp2-tp",
        "        fully_shard(model, mesh=mesh[\"data\"])\n",
        "        fully_shard(model, mesh=mesh[\"data\"])\n"
        "        model.set_gradient_divide_factor(4.0)\n",
        1, "gradients", "gain.weight", None,
    ),
    Fault(
        "hsdp: one copy drifts", "hsdp", *_drift("up.weight", 3, 2), 2, "weights", "up.weight", 3,
    ),
)  # fmt: skip
