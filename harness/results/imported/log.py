"""`Log`: what the log of an old run holds, as frozen data. It is a partial record.

A log holds some values at some steps, with the precision with which they were written. It holds no
weights, gradients, batches or states of random generators, so two runs that agree in all of it may
still differ.

**Precision.** A logged value agrees with a recorded one if the two differ by at most half a unit of
the last digit that the log holds. Writers drop zeros at the end, so the digits of a single value do
not show how many were kept. The finest value of a column does: a unit of the column is that of its
most decimals or that of its most significant digits, whichever is coarser. That covers `%.4f`,
`%.4g` and `round(x, 4)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from harness.errors import RecordError

__all__ = [
    "LATEST_STEP",
    "Log",
    "Series",
    "clean_name",
    "evaluation_metric",
    "is_value",
    "number_of",
    "series_of_decimals",
    "series_of_singles",
    "step_number",
    "training_quantity",
]

_BEFORE_LARGEST = np.nextafter(np.finfo(np.float32).max, np.float32(0))
"""The finite number of single precision before the largest one."""

LATEST_STEP = 2**31 - 1
"""The largest step that a record can hold."""
_LONGEST_NAME = 60
_NUMBER = re.compile(
    r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE
)
_DOUBLE_DIGITS = 15
"""From so many significant digits on, a column was written with every digit of its numbers."""
_REMEDY = "correct the file, or pass another one"

Kind = Literal["trainer_state", "tensorboard", "csv"]
_Number = TypeVar("_Number", Decimal, float)


@dataclass(frozen=True)
class Series:
    """One logged quantity: values by step, in the order of the steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]
    half_units: tuple[float, ...]
    """Half a unit of the last digit of each value."""
    precision: str
    """The precision in words, such as '4 decimals'."""


@dataclass(frozen=True)
class Log:
    """The log of one run."""

    path: Path
    kind: Kind
    training: Mapping[str, Series]
    """`loss`, `grad_norm` and `learning_rate`, as far as they were logged."""
    evaluations: Mapping[str, Series]
    """Metrics of evaluations, without a prefix such as `eval_`."""
    not_used: tuple[str, ...] = ()
    """Names in the log that no record holds."""
    save_every: int = 0
    """Of a Trainer's state: the number of updates between checkpoints; 0: it is not known."""

    @property
    def last_step(self) -> int:
        """The last step with a value."""
        every = (*self.training.values(), *self.evaluations.values())
        return max(series.steps[-1] for series in every)


_LOSS = ("loss", "train_loss_step", "train_loss", "training_loss", "train_step_loss")
_TRAINING = {
    **dict.fromkeys(_LOSS, "loss"),
    **dict.fromkeys(("grad_norm", "gradient_norm", "grad_norm_total"), "grad_norm"),
    **dict.fromkeys(("learning_rate", "lr"), "learning_rate"),
}
_NO_VALUES = ("epoch", "total_flos", "num_input_tokens_seen", "wall_time")
_TIMES = ("runtime", "per_second")
_EVALUATION = ("eval_", "val_", "valid_", "validation_")


def training_quantity(name: str) -> str | None:
    """The quantity of training that a column or tag holds, by its usual names; else None.

    `train/loss`, `Loss/train` and `train_loss` are the loss; `lr` and `lr-AdamW` the learning rate.
    """
    words = name.lower().replace("/", "_")
    first, _, second = name.lower().partition("/")
    if second == "train":
        words = f"train_{first}"
    bare = words.removeprefix("train_").removeprefix("training_")
    if words.startswith("lr-"):
        return "learning_rate"
    # The Trainer's tag train/train_loss is the mean over the whole training.
    return _TRAINING.get(words) or (None if bare in _LOSS else _TRAINING.get(bare))


def is_value(name: str) -> bool:
    """Whether a name is that of a computed value: not of a time, a rate or a position."""
    words = name.lower().replace("/", "_").removeprefix("train_")
    return words not in _NO_VALUES and not words.endswith(_TIMES)


def evaluation_metric(name: str) -> str | None:
    """The metric of an evaluation that a column or tag holds; None if its name has no prefix."""
    words = name.lower().replace("/", "_")
    first, _, second = name.lower().partition("/")
    if f"{second}_" in _EVALUATION:
        return first
    for prefix in _EVALUATION:
        if words.startswith(prefix) and words != prefix:
            return words.removeprefix(prefix)
    return None


def clean_name(name: str) -> str:
    """The beginning of a name from a file, as text that can be written to a file."""
    return name[:_LONGEST_NAME].encode("utf-8", "backslashreplace").decode()


def step_number(value: object, path: Path, place: str) -> int:
    """A step, counted from 0 or 1. Raises `RecordError` if it is none."""
    number: Decimal | None = None
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    if number is None or not number.is_finite() or not 0 <= number <= LATEST_STEP or number % 1:
        met = f"{str(value)[:40]!r}, {place} of {path}"
        raise RecordError(f"a step is an integer from 0 to {LATEST_STEP}", met, _REMEDY)
    return int(number)


def number_of(text: str, path: Path, place: str) -> Decimal:
    """A number as it was written. Raises `RecordError` unless it fits in double precision."""
    written = text.strip()
    if _NUMBER.fullmatch(written):
        try:
            number = Decimal(written)
        except ArithmeticError:
            number = Decimal("1e999")
        if not number or not number.is_finite() or -330 < number.adjusted() < 308:
            return number
    met = f"{text[:40]!r}, {place} of {path}"
    raise RecordError("a logged value is a number in double precision", met, _REMEDY)


def series_of_decimals(
    name: str, rows: Iterable[tuple[int, Decimal]], path: Path, every_digit: bool = False
) -> Series:
    """A series of numbers that were written as text. Raises `RecordError` for contradictions.

    `every_digit`: whether the writer is known to write all digits, also where they are few.
    """
    found = _by_step(name, rows, path)
    finite = [value for value in found.values() if value.is_finite()]
    decimals = max((max(0, -_exponent(value)) for value in finite), default=0)
    digits = max((len(value.as_tuple().digits) for value in finite), default=0)
    every_digit = every_digit or digits >= _DOUBLE_DIGITS
    units = [
        max(-decimals, value.adjusted() - digits + 1) if value.is_finite() and value else -decimals
        for value in found.values()
    ]
    words = f"{decimals} decimals or {digits} significant digits, whichever is coarser"
    if every_digit:
        words = "all digits"
    elif all(unit == -decimals for unit in units):
        words = _counted(decimals, "decimal")
    elif all(unit > -decimals for unit in units):
        words = _counted(digits, "significant digit")
    half_units = [0.0 if every_digit else float(Decimal(5).scaleb(unit - 1)) for unit in units]
    return Series(tuple(found), tuple(map(float, found.values())), tuple(half_units), words)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def series_of_singles(name: str, rows: Iterable[tuple[int, float]], path: Path) -> Series:
    """A series of numbers in single precision. Raises `RecordError` for contradictions."""
    found = _by_step(name, rows, path)
    values = np.array(list(found.values()), dtype=np.float32)
    finite = np.isfinite(values)
    # The spacing of the largest number overflows; that of the number before it is the same.
    known = np.minimum(np.where(finite, np.abs(values), np.float32(0)), _BEFORE_LARGEST)
    half_units = np.where(finite, np.spacing(known) / 2, 0)
    return Series(
        tuple(found), tuple(found.values()), tuple(map(float, half_units)), "single precision"
    )


def _exponent(value: Decimal) -> int:
    """The exponent of the last digit of a finite number."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def _by_step(name: str, rows: Iterable[tuple[int, _Number]], path: Path) -> dict[int, _Number]:
    """Values by step in the order of the steps; the same value may stand there twice."""
    found: dict[int, _Number] = {}
    for step, value in rows:
        before = found.setdefault(step, value)
        if before != value and not (math.isnan(before) and math.isnan(value)):
            met = f"{name} at step {step} is {before} and {value} in {path}"
            raise RecordError("a log holds one value of a quantity at each step", met, _REMEDY)
    return dict(sorted(found.items()))
