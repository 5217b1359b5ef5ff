"""Options of a SLURM job, as `--slurm KEY=VALUE` gives them. They are only checked here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.errors import SpecError, check_known

__all__ = ["DEFAULT_MINUTES", "SLURM_OPTIONS", "job_parameters"]

DEFAULT_MINUTES = 60
"""The time limit of a job that is given none."""
SLURM_OPTIONS = {
    "partition": "partition",
    "time": "time",
    "gpus": "gpus_per_node",
    "cpus": "cpus_per_task",
    "mem": "mem",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "gres": "gres",
    "nodelist": "nodelist",
    "exclude": "exclude",
}
"""By the key that a user writes: the parameter of submitit's `SlurmExecutor`."""
_NUMBERS = {"gpus": 0, "cpus": 1}
"""Keys that take a whole number, and the smallest."""
_TEXT = re.compile(r"[A-Za-z0-9_.,:;=&|()\[\]*@%+-]+")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d\d)(?::(?P<seconds>\d\d))?")


def job_parameters(options: Mapping[str, str], option: str) -> dict[str, Any]:
    """The parameters of a job. `option`: how messages spell the option. Raises `SpecError`."""
    found: dict[str, Any] = {"time": DEFAULT_MINUTES}
    for key, value in options.items():
        check_known(f"key of {option}", key, SLURM_OPTIONS)
        found[SLURM_OPTIONS[key]] = _value(key, str(value), option)
    return found


def _value(key: str, text: str, option: str) -> Any:
    if key == "time":
        return _minutes(text, option)
    if key in _NUMBERS:
        if not text.isdecimal() or int(text) < _NUMBERS[key]:
            rule = f"{option} {key} takes a whole number from {_NUMBERS[key]} on"
            raise SpecError(rule, repr(text), f"write {key}=1")
        return int(text)
    if not _TEXT.fullmatch(text):
        rule = f"{option} {key} takes a value without spaces and quotes"
        raise SpecError(rule, repr(text), "correct it")
    return text


def _minutes(text: str, option: str) -> int:
    """Whole minutes, rounded up, of a number of minutes or of [DAYS-]HOURS:MINUTES[:SECONDS]."""
    found = _TIME.fullmatch(text)
    if found:
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        total = (days * 24 + hours) * 60 + minutes + (seconds > 0)
    else:
        total = int(text) if text.isdecimal() else 0
    if total < 1:
        rule = f"{option} time takes minutes or [DAYS-]HOURS:MINUTES[:SECONDS]"
        raise SpecError(rule, repr(text), "write time=60 or time=2:30:00")
    return total
