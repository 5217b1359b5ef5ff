"""Reads `trainer_state.json`, the log that the Trainer of transformers keeps of its own training.

What the Trainer writes at a logged step (read in transformers 4.46, 4.57 and 5.23):

- `loss`: the sum of the losses of all micro-batches since the previous logged step, averaged over
  the processes, divided by the number of updates since then. Each loss is that on which `backward`
  is called. A loss that is not finite is replaced by the mean so far (`logging_nan_inf_filter`).
  Before version 5 the result is rounded to 4 decimals.
- `learning_rate`: the rate of the first parameter group during this update. Earlier releases, such
  as 4.46, log the rate after the schedule's step, which is that of the next update.
- `grad_norm`: the norm of the raw gradients of this update, before clipping.
- `eval_*`: metrics of an evaluation after this update.

The first window after a resume begins at the checkpoint, which the file does not state. It does
state how many updates lie between checkpoints (`save_steps`).
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.results.imported.log import (
    LATEST_STEP,
    Log,
    Series,
    clean_name,
    is_value,
    number_of,
    series_of_decimals,
    step_number,
)

__all__ = ["STATE_FILE", "read_trainer_state"]

STATE_FILE = "trainer_state.json"
_REMEDY = "pass a trainer_state.json as the Trainer writes it"
_RULE = "a Trainer's state has a list log_history of objects, each with a step"
_EVALUATION = "eval_"
_EVERY_DIGIT = ("learning_rate", "grad_norm")


def read_trainer_state(text: str, path: Path) -> Log:
    """The log in the text of the file `path`. Raises `RecordError`."""
    found: dict[str, list[tuple[int, Decimal]]] = {}
    not_used: dict[str, None] = {}
    state = _state(text, path)
    for number, entry in enumerate(state["log_history"], start=1):
        place = f"entry {number} of log_history"
        step = step_number(entry.get("step"), path, place)
        for name, value in entry.items():
            used = name in ("loss", *_EVERY_DIGIT) or name.startswith(_EVALUATION)
            if name == "step" or not is_value(name):
                continue
            if used and not isinstance(value, Decimal):
                met = f"{name[:40]!r} is {str(value)[:40]!r} in {place} of {path}"
                raise RecordError("a logged value is a number", met, _REMEDY)
            if used:
                found.setdefault(name, []).append((step, value))
            else:
                not_used[name] = None
    training: dict[str, Series] = {}
    evaluations: dict[str, Series] = {}
    for name, rows in found.items():
        series = series_of_decimals(name, rows, path, name in _EVERY_DIGIT)
        if name.startswith(_EVALUATION):
            evaluations[clean_name(name.removeprefix(_EVALUATION))] = series
        else:
            training[name] = series
    saved = state.get("save_steps")
    save_every = 0
    if isinstance(saved, Decimal) and saved.is_finite() and 1 <= saved <= LATEST_STEP:
        save_every = int(saved) if saved % 1 == 0 else 0
    return Log(
        path,
        "trainer_state",
        training,
        evaluations,
        tuple(map(clean_name, not_used)),
        save_every,
    )


def _state(text: str, path: Path) -> dict[str, Any]:
    """The state, whose `log_history` is a list of objects. Raises `RecordError`."""

    def number(digits: str) -> Decimal:
        return number_of(digits, path, "a number")

    try:
        state = json.loads(text, parse_float=number, parse_int=number, parse_constant=number)
    except (ValueError, RecursionError):
        raise RecordError("a Trainer's state is JSON", path, _REMEDY) from None
    entries = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RecordError(_RULE, path, _REMEDY)
    assert isinstance(state, dict)
    return state
