"""What is to be run: `Recipe`, `Case`, `RunSpec`. Frozen, validated when built, with a stable key.

Every convention on which two training loops can differ is a field of `Recipe`, so that a difference
between two runs is a difference between two recipes. What is not a convention of training (where
files go, how progress is shown) is not here.
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

from harness.errors import SpecError, unknown_name

__all__ = [
    "CONVENTIONS",
    "DETAILS",
    "DEVICES",
    "DIGESTS",
    "LAUNCHERS",
    "Conventions",
    "Detail",
    "Device",
    "Digests",
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
Detail = Literal["steps", "weights", "full"]
DETAILS: tuple[Detail, ...] = get_args(Detail)
Option = str | int | float | bool | None
_Beta = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # fit for a folder
Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts True as 1; a user who writes true for a number means something else."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and annotation is not bool:
            raise ValueError("a number or a name is wanted, not true or false")
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
    """How a model is trained. The defaults are the course's, as the stock `Trainer` reads them."""

    seed: int = Field(42, ge=0, lt=2**32)
    """Seed of every global generator, set before the model is built."""
    data_seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the order of the rows; None: the same as `seed`."""
    reseed_after_build: bool = True
    """Set `seed` again once the model exists, as the Trainer does in its constructor."""

    num_epochs: int = Field(3, ge=1)
    """Passes over the training rows; `max_steps`, where given, wins."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after so many optimizer updates. It is also the length of the schedule."""
    per_device_batch_size: int = Field(8, ge=1)
    """Rows in a micro-batch on each device."""
    eval_batch_size: int = Field(8, ge=1)
    """Rows in a batch of the evaluation."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Micro-batches that make one update; an epoch's last window may hold fewer."""
    loss_average: Literal["window", "configured", "sum", "model"] = "window"
    """What becomes of a window's losses: their mean over the micro-batches that there are; their
    sum over `gradient_accumulation_steps`, also where fewer are left; their sum; or left to the
    model, which is told the number of labels in the window."""
    drop_last: bool = False
    """Leave out an epoch's last, incomplete batch."""
    sampler: Literal["seeded", "global", "sequential", "length_grouped"] = "seeded"
    """Order of the rows: a permutation drawn from a generator of its own seeded with `data_seed` +
    epoch; a permutation drawn from torch's global generator; the order of the set; or rows of like
    length together, drawn from the global generator."""
    parallel: Literal["ddp", "fsdp2"] = "ddp"
    """How several processes hold the model: each one all of it (`DistributedDataParallel`), or each
    its share of every tensor (`fully_shard`)."""
    sharding: Literal["dealt", "strided"] = "dealt"
    """Which rows a process trains on, of several: whole batches are dealt out in turn, and rows of
    the epoch's beginning fill up the last round, as Accelerate does; or each takes every so many-th
    row, as `DistributedSampler` does."""
    padding: Literal["longest", "max_length"] = "longest"
    """Pad each batch to its longest row, or every batch to `max_length` (static shapes)."""
    max_length: int | None = Field(None, ge=2)
    """Rows are cut to so many tokens; None: the model's own limit."""
    extra_padding: int = Field(0, ge=0)
    """Up to so many tokens of padding more in each batch; the collator draws how many from the
    global generator."""
    num_workers: int = Field(0, ge=0)
    """Processes that fetch batches; 0: the training process itself."""

    frozen: str | None = None
    """Parameters whose names begin so are not trained."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """Share of the target that is spread over all classes alike."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """The update rule. AdamW hides a pure scale error of the gradient, SGD does not."""
    momentum: float = Field(0.9, ge=0, lt=1, allow_inf_nan=False)
    """Of SGD."""
    optimizer_flavour: Literal["fused", "foreach", "for_loop"] = "fused"
    """Which of torch's implementations of that rule; they round differently."""
    learning_rate: float = Field(5e-5, gt=0, allow_inf_nan=False)
    """Peak of the schedule."""
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    """Decay of AdamW's two moving averages, each in [0, 1)."""
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False)
    """Added to AdamW's denominator."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Decoupled decay, per unit of learning rate."""
    decay_exclusions: Literal["bias_and_norm", "none"] = "bias_and_norm"
    """Which parameters are never decayed."""
    lr_schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the learning rate over the steps, after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the learning rate rises in a line from 0 to its peak."""
    warmup_ratio: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """The same as a share of all steps, rounded up, where `warmup_steps` is 0."""
    schedule_per_process: bool = False
    """The schedule moves on once for each process at each step, as a scheduler does that Accelerate
    prepared."""
    max_grad_norm: float | None = Field(1.0, gt=0, allow_inf_nan=False)
    """Gradients are scaled down to this total 2-norm; None: off."""

    eval_every: Annotated[int, Field(ge=1)] | Literal["epoch"] | None = None
    """Evaluate after so many steps, or at each epoch's end, besides once at the very end. An
    evaluation draws from the global generator."""

    save_every: int | None = Field(None, ge=1)
    """Write a checkpoint after so many steps, from which a stopped run can go on; None: never."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16, fp16: forward passes under autocast, weights and optimizer in fp32; with fp16 the loss
    is scaled up for the backward pass, and an update whose gradients overflow is left out. fp16
    needs a GPU."""
    gradient_checkpointing: bool = False
    """Keep no activations but recompute them in the backward pass."""
    compile: Literal["inductor", "aot_eager", "eager"] | None = None
    """The backend by which `torch.compile` translates the model; None: it is not compiled."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention kernel of the model; the two round differently."""
    num_threads: int = Field(1, ge=1)
    """Threads of each training process on a CPU; sums are split among them, so they round by it."""


def build(model: type[Model], values: dict[str, Any]) -> Model:
    """`model(**values)`, with the first violation raised as a one-line `SpecError`."""
    for name in values:
        if name not in model.model_fields:
            raise unknown_name(f"field of {model.__name__.lower()}", name, model.model_fields)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        # Names after the first tell which member of a union was tried, which helps nobody.
        path = [
            part for number, part in enumerate(first["loc"]) if not number or part.__class__ is int
        ]
        place = ".".join(map(str, path)) or model.__name__.lower()
        rule = first["msg"][0].lower() + first["msg"][1:]
        raise SpecError(
            f"{place}: {rule}", repr(first["input"]), f"set {place} accordingly"
        ) from None


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
