"""What the log of a run would hold, computed from its record or taken from its own log.

A log does not state how it was written: whether a loss is that of one update or the mean since the
previous logged step, whether steps count from 0. So a value has several readings, in the order in
which they are tried. The Trainer's own file has one rule, and so one reading; see
`harness.results.imported.trainer_state`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from harness.results.imported.log import Log, Series
from harness.results.record import RunRecord

__all__ = ["Computed", "LoggedRun", "Reading", "RecordedRun"]

_SINGLE = 2.0**-24
"""The largest relative error of one operation in single precision."""
_REDUCTION = 2.0**-20
"""The relative difference that another order of summation may make in a norm or a mean metric: 16
units of the last place of single precision."""
_DOUBLE = 2.0**-52
Losses = dict[int, list[float | None]]
"""The losses of the micro-batches of each update, in their order."""

_MOST_RATES = 8
"""Distinct learning rates that are tried, one after the other."""


@dataclass(frozen=True)
class Computed:
    """The value that a run would have logged."""

    value: float
    rounding: float
    """By how much rounding may move it."""
    all_finite: bool = True
    """Whether every value of which it is made is finite."""


@dataclass(frozen=True)
class Reading:
    """One meaning of a logged quantity."""

    words: str
    """The assumption about the log; empty if it needs none."""
    compute: Callable[[int, int], Computed | None]
    """The value for the updates after the first number up to the second; None: not recorded."""
    resumes: int = 0
    """If above 0, a window may also begin at a multiple of this number: at a checkpoint from which
    the training was resumed."""


class RecordedRun:
    """A record as the source of values to compare with a log."""

    def __init__(self, record: RunRecord) -> None:
        """Read the traces. Raises `RecordError` if one is damaged."""
        self._processes = record.spec.processes
        micro, steps = record.micro_batches, record.steps
        self._losses = _by_step(micro["step"], micro["loss"])
        self._task_losses = _by_step(micro["step"], micro["task_loss"])
        self._rates = dict(
            zip(steps["step"].to_pylist(), steps["learning_rate"].to_pylist(), strict=True)
        )
        self._norms = dict(
            zip(steps["step"].to_pylist(), steps["grad_norm"].to_pylist(), strict=True)
        )
        # With fp16 a loss scaler multiplies the loss before the backward pass.
        dtypes = record.circumstances["compute_dtype"].unique().to_pylist()
        self._only_task = "float16" in dtypes or micro["loss"].null_count == len(micro)
        self._evaluations = {
            evaluation.step: {
                name.lower(): value
                for name, value in (evaluation.metrics | evaluation.loss_metrics).items()
            }
            for evaluation in record.header.evaluations
        }

    @property
    def last_step(self) -> int:
        """The last update."""
        return max(self._rates, default=0)

    def training(self, quantity: str, log: Log) -> Iterator[Reading]:
        """The readings of a quantity of the training in `log`."""
        if quantity == "loss":
            yield from self._loss_readings(log)
        elif quantity == "learning_rate":
            yield from self._rate_readings(log)
        else:
            yield Reading("", lambda _, step: _reduced(self._norms.get(step)))

    def metric(self, name: str) -> Iterator[Reading]:
        """The readings of a metric of evaluations."""

        def after(step: int) -> Computed | None:
            return _reduced(self._evaluations.get(step, {}).get(name.lower()))

        yield Reading("", lambda _, step: after(step))

    def _loss_readings(self, log: Log) -> Iterator[Reading]:
        if log.kind == "trainer_state":
            losses = self._task_losses if self._only_task else self._losses
            share = 0.0 if self._only_task else 1.0 / self._processes
            yield Reading(
                "",
                lambda start, step: self._trainer_mean(losses, share, start, step),
                log.save_every,
            )
            return
        windows = "the loss of the log is the mean since the previous logged step"
        for window in ("", windows):
            for words, losses, share in self._loss_sources():
                joined = " and ".join(filter(None, (words, window)))
                yield Reading(joined, _mean_of(losses, share, bool(window)))

    def _loss_sources(self) -> Iterator[tuple[str, Losses, float]]:
        """What a script may log as the loss of one update: words, losses, and share of each."""
        if not self._only_task:
            yield "", self._losses, 1.0 / self._processes
        yield "the loss of the log is the mean over the micro-batches", self._task_losses, 0.0
        own = self._losses
        if self._processes > 1:
            own = {step: found[:: self._processes] for step, found in own.items()}
            yield "the loss of the log is that of the first process", own, 1.0
        if any(len(found) > 1 for found in own.values()):
            words = "the loss of the log is that of the last micro-batch"
            last = {step: found[-1:] for step, found in own.items()}
            yield words, last, 1.0
            counts = {len(found) for found in own.values()}
            if len(counts) == 1:
                yield f"{words}, before its division by their number", last, float(counts.pop())

    def _trainer_mean(self, losses: Losses, share: float, start: int, step: int) -> Computed | None:
        """The mean over the updates since `start`, with the Trainer's rule for NaN."""
        plain = _mean(losses, share, start, step)
        if plain is None or plain.all_finite or self._processes > 1:
            return plain
        total = 0.0
        for done, update in enumerate(range(start + 1, step + 1)):
            for loss in losses[update]:
                assert loss is not None
                total += loss if math.isfinite(loss) else total / (1 + done)
        return Computed(total / (step - start), plain.rounding, False)

    def _rate_readings(self, log: Log) -> Iterator[Reading]:
        most = max((len(found or ()) for found in self._rates.values()), default=0)
        loss = log.training.get("loss")
        # The Trainer rounded losses until it logged the rate of the update itself.
        certain = log.kind == "trainer_state" and loss is not None and loss.half_units[0] == 0
        later = "the log holds the learning rate after the schedule's step, which is the next one"
        for words, ahead in (("", 0), (later, 1))[: 1 if certain else 2]:
            for number in range(min(most, _MOST_RATES)):
                which = f"its learning rate is rate {number + 1} of {most}" if most > 1 else ""
                joined = " and ".join(filter(None, (words, which)))
                yield Reading(joined, lambda _, step, a=ahead, n=number: self._rate(step + a, n))  # type: ignore[misc]  # defaults bind now

    def _rate(self, step: int, number: int) -> Computed | None:
        rates = self._rates.get(step) or []
        value = rates[number] if number < len(rates) else None
        return None if value is None else Computed(value, abs(value) * _DOUBLE)


class LoggedRun:
    """A log as the source of values to compare with another log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @property
    def last_step(self) -> int:
        """The last step with a value."""
        return self._log.last_step

    def training(self, quantity: str, log: Log) -> Iterator[Reading]:
        """The logged values; a loss only where both logs have the same previous step."""
        series = self._log.training.get(quantity)
        if series is not None:
            yield _as_logged(series, quantity == "loss")

    def metric(self, name: str) -> Iterator[Reading]:
        """The logged values of a metric."""
        for found, series in self._log.evaluations.items():
            if found.lower() == name.lower():
                yield _as_logged(series, False)


def _as_logged(series: Series, in_windows: bool) -> Reading:
    rows = zip(series.steps, series.values, series.half_units, strict=True)
    values = {step: Computed(value, half, math.isfinite(value)) for step, value, half in rows}
    before = dict(zip(series.steps, (0, *series.steps), strict=False))

    def compute(start: int, step: int) -> Computed | None:
        same_window = not in_windows or before.get(step) == start
        return values.get(step) if same_window else None

    return Reading("", compute)


def _by_step(steps: pa.ChunkedArray, values: pa.ChunkedArray) -> Losses:
    found: Losses = {}
    for step, value in zip(steps.to_pylist(), values.to_pylist(), strict=True):
        found.setdefault(step, []).append(value)
    return found


def _mean_of(
    losses: Losses, share: float, in_windows: bool
) -> Callable[[int, int], Computed | None]:
    def compute(start: int, step: int) -> Computed | None:
        return _mean(losses, share, start if in_windows else step - 1, step)

    return compute


def _mean(losses: Losses, share: float, start: int, step: int) -> Computed | None:
    """The mean over updates of the sum of their losses times `share`; without one, of their means.

    None if a loss is missing.
    """
    parts: list[float] = []
    if not 0 < step - start <= len(losses):
        return None
    for update in range(start + 1, step + 1):
        found: Sequence[float | None] = losses.get(update, ())
        for loss in found:
            if loss is None:
                return None
            parts.append(loss * (share or 1 / len(found)))
        if not found:
            return None
    total = math.fsum(parts) if all(map(math.isfinite, parts)) else sum(parts)
    size = sum(map(abs, parts)) / (step - start)
    value = total / (step - start)
    rounding = (len(parts) - 1) * _SINGLE * size + _DOUBLE * abs(value)
    return Computed(value, rounding, all(map(math.isfinite, parts)))


def _reduced(value: float | None) -> Computed | None:
    if value is None:
        return None
    return Computed(value, abs(value) * _REDUCTION, math.isfinite(value))
