"""In what the settings of two runs differ: read from their records, before any value is looked at.

A setting is no value: two runs may be set up otherwise and compute the same. So what is found here
is told beside the first divergence, and is itself the first only where there is nothing to compare
after it: where weights are of another type, or a variable of the environment overrules the code.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.results.record import Header

__all__ = [
    "SettingDifference",
    "differing_settings",
    "reported_by_one",
    "setting_differences",
    "settings_compared",
]

# What each loop may do in its own way, and what is recorded for the diagnosis alone.
_NOT_COMPARED = (
    "loader.fetched",
    "model.head",
    "rng.draws_at_watch",
    "rng.draws_since_seed",
    "weights.declared_dtype",
    "trainer.leaves_average_to_model",
)
_OVERRULING = "environment."


class SettingDifference(BaseModel):
    """One setting on both sides; None where it is not set."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    name: str
    reference: Any
    candidate: Any

    @property
    def decisive(self) -> bool:
        """Whether it comes before all values: the type of the weights, an overruled code."""
        return self.name == "weights.dtype" or self.name.startswith(_OVERRULING)


def settings_compared(reference: Header, candidate: Header) -> int:
    """How many settings both sides tell of."""
    return len(_common(*(_all(header) for header in (reference, candidate))))


def reported_by_one(reference: Header, candidate: Header) -> tuple[list[str], list[str]]:
    """The settings that only the one side tells of, and those that only the other does."""
    one, two = _all(reference), _all(candidate)
    return _alone(one, two), _alone(two, one)


def _alone(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    common = _common(one, two)
    return [name for name in one if name not in (*common, *two, *_NOT_COMPARED)]


def setting_differences(reference: Header, candidate: Header) -> list[SettingDifference]:
    """The settings of two records that differ."""
    return differing_settings(_all(reference), _all(candidate))


def differing_settings(one: dict[str, Any], two: dict[str, Any]) -> list[SettingDifference]:
    """The settings that differ. What one side does not tell is not known, and does not differ."""
    return [
        SettingDifference(name=name, reference=one.get(name), candidate=two.get(name))
        for name in _common(one, two)
        if not _same(_kinds(name, one.get(name)), _kinds(name, two.get(name)))
    ]


def _all(header: Header) -> dict[str, Any]:
    if not header.settings:
        return {}
    versions = {
        f"versions.{name}": version
        for name, version in header.environment.get("versions", {}).items()
    }
    return {**header.settings, **versions}


def _common(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    if not one or not two:
        return []
    return [
        name
        for name in dict.fromkeys([*one, *two])
        if name not in _NOT_COMPARED
        and (name.startswith(_OVERRULING) or None not in (one.get(name), two.get(name)))
    ]


def _kinds(name: str, value: Any) -> Any:
    """How many tensors are of the one type that all have is nothing of that type."""
    return list(value) if name == "weights.dtype" and len(value) == 1 else value


def _same(one: Any, two: Any) -> bool:
    """Equal; schedules are, where their rates are, but for what rounding leaves."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-12) or (math.isnan(one) and math.isnan(two))
    return bool(one == two)
