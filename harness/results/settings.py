"""The differences of the settings of two runs, from their records.

A setting is not a value: two runs with different settings may compute the same values. So settings
that differ are reported beside the first divergence. Only a decisive setting is the first
divergence itself: another type of the weights, or an environment variable that overrides the code.
"""

from __future__ import annotations

import math
from typing import Any

from harness.results.base import Result
from harness.results.record import Header

__all__ = [
    "SettingDifference",
    "differing_settings",
    "reported_by_one",
    "setting_differences",
    "settings_compared",
]

# Each loop may choose these, or they are recorded only for causes.
_NOT_COMPARED = (
    "loader.fetched",
    "model.dropout_modules",
    "model.head",
    "rng.draws_at_watch",
    "rng.draws_since_seed",
    "weights.declared_dtype",
    "trainer.leaves_average_to_model",
)
_OVERRIDING = "environment."


class SettingDifference(Result):
    """One setting of both runs; None if it is not set."""

    name: str
    """Name of the setting."""
    reference: Any
    """Its value in the reference."""
    candidate: Any
    """Its value in the candidate."""

    @property
    def decisive(self) -> bool:
        """Whether it precedes all values: the type of the weights, or an overriding variable."""
        return self.name == "weights.dtype" or self.name.startswith(_OVERRIDING)


def settings_compared(reference: Header, candidate: Header) -> int:
    """Number of settings that both runs report."""
    return len(_common(*(_all(header) for header in (reference, candidate))))


def reported_by_one(reference: Header, candidate: Header) -> tuple[list[str], list[str]]:
    """The settings that only the reference reports, and those that only the candidate reports."""
    one, two = _all(reference), _all(candidate)
    return _only_in_first(one, two), _only_in_first(two, one)


def _only_in_first(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    common = _common(one, two)
    return [name for name in one if name not in (*common, *two, *_NOT_COMPARED)]


def setting_differences(reference: Header, candidate: Header) -> list[SettingDifference]:
    """The settings of two records that differ."""
    return differing_settings(_all(reference), _all(candidate))


def differing_settings(one: dict[str, Any], two: dict[str, Any]) -> list[SettingDifference]:
    """The settings that differ.

    A setting that one run does not report never differs, except an environment variable.
    """
    return [
        SettingDifference(name=name, reference=one.get(name), candidate=two.get(name))
        for name in _common(one, two)
        if not _same(_comparable(name, one.get(name)), _comparable(name, two.get(name)))
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
        and (name.startswith(_OVERRIDING) or None not in (one.get(name), two.get(name)))
    ]


def _comparable(name: str, value: Any) -> Any:
    """The value to compare: of a single type of weights the name, without the number of tensors."""
    single = name == "weights.dtype" and isinstance(value, dict) and len(value) == 1
    return list(value) if single else value


def _same(one: Any, two: Any) -> bool:
    """Whether two values are equal; numbers within rounding, as the rates of a schedule are."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-12) or (math.isnan(one) and math.isnan(two))
    return bool(one == two)
