"""What an upgrade changed and what it did not, a sentence each, out of comparisons and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.compare import Comparison, Finding
from harness.metrics import metric
from harness.record import Header
from harness.report.causes import setting_text
from harness.report.model import sentence
from harness.settings import settings_compared, told_by_one
from harness.units import number
from harness.upgrade.result import UpgradeResult
from harness.upgrade.sides import Side, package_changes, packages_same

__all__ = ["Headers", "upgrade_result"]

Headers = Mapping[tuple[str, str], Header]
"""Of the traced runs, by case and by what comparisons call them."""
_FEW = 8  # names that are told one by one
_VERSIONS = "versions."
_OF_THE_VALUES = ("epochs", "first_grad_norm")  # which are told of otherwise
_DIGITS = 9


@dataclass
class _Said:
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def upgrade_result(
    sides: Sequence[Side],
    traced: Sequence[Comparison],
    headers: Headers,
    timed: Sequence[Comparison],
) -> UpgradeResult:
    """`traced`: each loop against itself with the first libraries; `timed`: the same of speeds."""
    said = _Said()
    changes = package_changes(sides)
    same = packages_same(sides)
    if changes:
        rows = [_package(change.name, change.versions) for change in changes]
        said.changed.append(f"packages: {_list(rows)}")
    said.unchanged.append(f"{same} packages, Python itself counted, are of the same version")
    for pair in traced:
        _values(pair, said)
        one, two = (headers.get((pair.case, name)) for name in (pair.reference, pair.candidate))
        if one is not None and two is not None:
            _settings(pair, one, two, said)
        _figures(pair, said)
    for pair in timed:
        _speed(pair, said)
    return UpgradeResult(
        sides=tuple(side.name for side in sides),
        packages=changes,
        packages_same=same,
        changed=tuple(said.changed),
        unchanged=tuple(said.unchanged),
        unknown=tuple(said.unknown),
    )


def _package(name: str, versions: Sequence[str | None]) -> str:
    return f"{name} {' to '.join(version or 'absent' for version in versions)}"


def _values(pair: Comparison, said: _Said) -> None:
    text = f"{pair.case}, values: {sentence(pair)}"
    if pair.outcome in ("identical", "equivalent"):
        said.unchanged.append(text)
    elif pair.outcome == "different":
        said.changed.append(text)
        equal = [stage.stage for stage in pair.stages if stage.compared and not stage.differing]
        if equal:
            names = f"{_pair(pair)}: equal at every step in spite of that: {', '.join(equal)}"
            said.unchanged.append(names)
    else:
        said.unknown.append(text)


def _settings(pair: Comparison, reference: Header, candidate: Header, said: _Said) -> None:
    """As read from living objects; of what one side does not tell, only that it does not."""
    apart = [each for each in pair.settings if not each.name.startswith(_VERSIONS)]
    said.changed += [
        f"{_pair(pair)}: setting {each.name} is {setting_text(each.candidate)}, and was "
        f"{setting_text(each.reference)}"
        for each in apart
    ]
    versions = len(pair.settings) - len(apart)
    equal = settings_compared(reference, candidate) - len(pair.settings)
    if equal > 0:
        less = f", {len(apart)} others are not" if apart else ""
        said.unchanged.append(
            f"{_pair(pair)}: {equal} settings read from living objects are the same{less}"
            + (f" ({versions} versions aside)" if versions else "")
        )
    for label, names in zip(
        (pair.reference, pair.candidate), told_by_one(reference, candidate), strict=True
    ):
        if names:
            said.unknown.append(f"settings that {label} alone tells of: {_list(names)}")


def _figures(pair: Comparison, said: _Said) -> None:
    """Counts and final metrics, which are the same or not to the last digit."""
    same: list[Finding] = []
    apart: list[Finding] = []
    for found in pair.findings:
        if found.outcome in ("identical", "different") and found.metric not in _OF_THE_VALUES:
            (same if found.outcome == "identical" else apart).append(found)
    if apart:
        texts = [f"{_figure(f, f.candidate)}, was {_number(f.reference)}" for f in apart]
        said.changed.append(f"{_pair(pair)}: {'; '.join(texts)}")
    if same:
        texts = [_figure(found, found.candidate) for found in same]
        said.unchanged.append(f"{_pair(pair)}: {', '.join(texts)}")


def _speed(pair: Comparison, said: _Said) -> None:
    if not pair.findings:
        why = "; ".join(pair.doubts) or "not measured"
        said.unknown.append(f"speed, {pair.candidate} against {pair.reference}: {why}")
        return
    text = f"speed, {sentence(pair)}"
    if pair.outcome == "equivalent":
        said.unchanged.append(text)
    elif pair.outcome in ("faster", "slower"):
        said.changed.append(text)
    else:
        said.unknown.append(text)


def _pair(pair: Comparison) -> str:
    return f"{pair.case}, {pair.candidate} against {pair.reference}"


def _figure(found: Finding, value: float | None) -> str:
    return f"{metric(found.metric).title} {_number(value)}"


def _number(value: float | None) -> str:
    return "absent" if value is None else number(value, _DIGITS)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return f"{shown} and {len(names) - _FEW} more" if len(names) > _FEW else shown
