"""`Recipe`: how a model is trained. Frozen, validated when built, with a stable key.

Every convention on which two training loops can differ is a field of `Recipe`, so a difference
between two runs is a difference between two recipes. What is no convention of training (where files
go, how progress is shown) is not here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from harness.errors import unknown_name
from harness.spec.violations import violation

__all__ = [
    "CONVENTIONS",
    "DETAILS",
    "DEVICES",
    "DIGESTS",
    "EXECUTORS",
    "LAUNCHERS",
    "Conventions",
    "Detail",
    "Device",
    "Digests",
    "Executor",
    "Frozen",
    "Launcher",
    "Name",
    "Option",
    "Recipe",
    "build",
    "parse_value",
]

Conventions = Literal["matched", "native"]
CONVENTIONS: tuple[str, ...] = get_args(Conventions)
Device = Literal["cpu", "cuda", "mps", "xpu"]
DEVICES: tuple[str, ...] = get_args(Device)
Digests = Literal["host", "device"]
DIGESTS: tuple[str, ...] = get_args(Digests)
Launcher = Literal["torchrun", "accelerate", "notebook"]
LAUNCHERS: tuple[Launcher, ...] = get_args(Launcher)
Executor = Literal["local", "slurm"]
EXECUTORS: tuple[Executor, ...] = get_args(Executor)
Detail = Literal["steps", "weights", "full"]
DETAILS: tuple[Detail, ...] = get_args(Detail)
Option = str | int | float | bool | None
_Beta = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # fit for a folder
Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    @field_validator("*", mode="before")
    @classmethod
    def _bool_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python accepts True as 1, but a user who writes true for a number has made a mistake."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and bool not in (annotation, *get_args(annotation)):
            raise ValueError("takes a number or a name, not true or false")
        return value

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that depend on every field and on nothing else."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Recipe(Frozen):
    """How a model is trained. The defaults are those of the Hugging Face course with `Trainer`."""

    seed: int = Field(42, ge=0, lt=2**32)
    """Seed of every global random generator, set before the model is built."""
    data_seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the row order; None: the same as `seed`."""
    reseed_after_build: bool = True
    """Set `seed` again after the model is built, as the Trainer does in its constructor."""

    num_epochs: int = Field(3, ge=1)
    """Passes over the training rows; ignored if `max_steps` is set."""
    max_steps: int | None = Field(None, ge=1)
    """Number of optimizer updates, also the length of the schedule; None: that of the epochs."""
    per_device_batch_size: int = Field(8, ge=1)
    """Rows in a micro-batch on each device."""
    eval_batch_size: int = Field(8, ge=1)
    """Rows in an evaluation batch."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Micro-batches in one update. An epoch's last window may hold fewer."""
    loss_average: Literal["window", "configured", "sum", "model"] = "window"
    """How the losses of a window are averaged. `window`: over its micro-batches. `configured`: over
    `gradient_accumulation_steps`, also if the window holds fewer. `sum`: not at all. `model`: by
    the model, which receives the number of labels in the window."""
    drop_last: bool = False
    """Omit the last batch of an epoch if it is incomplete."""
    sampler: Literal["seeded", "global", "sequential", "length_grouped"] = "seeded"
    """Order of the rows. `seeded`: a permutation from a separate generator with the seed
    `data_seed` + epoch. `global`: a permutation from torch's global generator. `sequential`: the
    order of the data set. `length_grouped`: rows of similar length together, drawn from the global
    generator."""
    parallel: Literal["ddp", "fsdp2"] = "ddp"
    """How several processes hold the model. `ddp`: each holds all of it, as in
    `DistributedDataParallel`. `fsdp2`: each holds a share of every tensor, as with
    `fully_shard`."""
    sharding: Literal["dealt", "strided"] = "dealt"
    """Which rows each of several processes trains on. `dealt`: whole batches in turn, and the first
    rows of the epoch fill the last round, as in Accelerate. `strided`: with N processes every N-th
    row, as in `DistributedSampler`."""
    padding: Literal["longest", "max_length"] = "longest"
    """Pad each batch to its longest row, or every batch to `max_length` (static shapes)."""
    max_length: int | None = Field(None, ge=2)
    """Rows are cut to this number of tokens; None: the limit of the model."""
    extra_padding: int = Field(0, ge=0)
    """The most tokens of further padding in a batch. The collator draws the number for each batch
    from the global generator."""
    num_workers: int = Field(0, ge=0)
    """Worker processes that load batches; 0: the training process loads them."""

    frozen: str | None = None
    """Parameters whose names begin with this are not trained; None: all are trained."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """Share of the target that is spread evenly over all classes."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """The update rule. AdamW hides a wrong scale of the gradient; SGD does not."""
    momentum: float = Field(0.9, ge=0, lt=1, allow_inf_nan=False)
    """Momentum of SGD."""
    optimizer_flavour: Literal["fused", "foreach", "for_loop"] = "fused"
    """The implementation in torch of the update rule. They round differently."""
    learning_rate: float = Field(5e-5, gt=0, allow_inf_nan=False)
    """The peak of the schedule."""
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    """Decay rates of AdamW's two moving averages, each in [0, 1)."""
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False)
    """Added to the denominator of AdamW."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Decoupled weight decay, per unit of learning rate."""
    decay_exclusions: Literal["bias_and_norm", "none"] = "bias_and_norm"
    """Parameters without weight decay."""
    lr_schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the learning rate over the steps after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the learning rate rises linearly from 0 to its peak."""
    warmup_ratio: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """The same as a share of all steps, rounded up; ignored unless `warmup_steps` is 0."""
    schedule_per_process: bool = False
    """At each step the schedule advances once for each process, as a scheduler does that Accelerate
    prepared."""
    max_grad_norm: float | None = Field(1.0, gt=0, allow_inf_nan=False)
    """Gradients are scaled down to this total 2-norm; None: no clipping."""

    eval_every: Annotated[int, Field(ge=1)] | Literal["epoch"] | None = None
    """Evaluate each time after this number of steps, or at the end of each epoch. None: only at the
    end of the training, where every run evaluates. An evaluation draws from the global
    generator."""

    save_every: int | None = Field(None, ge=1)
    """Write a checkpoint each time after this number of steps; None: never. A stopped run can
    resume from it."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16, fp16: forward passes under autocast, with weights and optimizer in fp32. With fp16 the
    loss is scaled up for the backward pass, and an update whose gradients overflow is skipped. fp16
    needs a GPU."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them."""
    compile: Literal["inductor", "aot_eager", "eager"] | None = None
    """The backend of `torch.compile` for the model; None: it is not compiled."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention kernel of the model. The two round differently."""
    random_numbers: Literal["device", "host"] = "device"
    """Which generator the model draws from, as for dropout. `device`: that of the device. `host`:
    that of the CPU, whose numbers are moved to the device. Then they are the same on every
    device."""
    num_threads: int = Field(1, ge=1)
    """Threads of each training process on a CPU. They split sums, so their number changes
    rounding."""


def build(model: type[Model], values: dict[str, Any]) -> Model:
    """`model(**values)`, with the first violation raised as a one-line `SpecError`."""
    for name in values:
        if name not in model.model_fields:
            raise unknown_name(f"field of {model.__name__.lower()}", name, model.model_fields)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise violation(error.errors()[0], model.__name__.lower()) from None


def parse_value(text: str) -> Any:
    """A value of `--set KEY=VALUE`: JSON where it is JSON, None for 'none', else the text."""
    if text.lower() == "none":
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
