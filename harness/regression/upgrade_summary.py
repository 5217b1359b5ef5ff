"""What an upgrade changed and what it did not, a sentence each, out of comparisons and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.execution.environments.variants import Side, package_changes, packages_same
from harness.report.text.causes import setting_text
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison, Finding
from harness.results.metrics import metric
from harness.results.record import Header
from harness.results.settings import settings_compared, told_by_one
from harness.results.upgrade import UpgradeResult
from harness.units import number

__all__ = ["Headers", "upgrade_result"]

Headers = Mapping[tuple[str, str], Header]
"""Of the traced runs, by case and by what comparisons call them."""
_FEW = 8  # names that are told one by one
_VERSIONS = "versions."
_OF_THE_VALUES = ("epochs", "first_grad_norm")  # which are told of otherwise
_DIGITS = 9


@dataclass
class _Said:
    names: Sequence[str]
    """What the sides are called."""
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def who(self, pair: Comparison) -> str:
        """Case and loop; where there are more than two sides, also with which libraries."""
        loop = next(
            (
                pair.candidate.removesuffix(f" with {name}")
                for name in self.names
                if pair.candidate.endswith(f" with {name}")
            ),
            "",
        )
        text = f"{pair.case}, {loop}" if loop else pair.case
        if len(self.names) > 2:
            text += f", {pair.candidate.removeprefix(loop).strip()}"
        return text


def upgrade_result(
    sides: Sequence[Side],
    traced: Sequence[Comparison],
    headers: Headers,
    timed: Sequence[Comparison],
) -> UpgradeResult:
    """`traced`: each loop against itself with the first libraries; `timed`: the same of speeds."""
    said = _Said([side.name for side in sides])
    for pair in traced:
        _values(pair, said)
        one, two = (headers.get((pair.case, name)) for name in (pair.reference, pair.candidate))
        if one is not None and two is not None:
            _settings(pair, one, two, said)
        _figures(pair, said)
    for pair in timed:
        _speed(pair, said)
    return UpgradeResult(
        sides=tuple(said.names),
        packages=package_changes(sides),
        packages_same=packages_same(sides),
        changed=tuple(said.changed),
        unchanged=tuple(said.unchanged),
        unknown=tuple(said.unknown),
    )


def _values(pair: Comparison, said: _Said) -> None:
    text = f"{said.who(pair)}: values {_after_the_pair(pair)}"
    if pair.outcome in ("identical", "equivalent"):
        said.unchanged.append(text)
    elif pair.outcome == "different":
        said.changed.append(text)
        equal = [stage.stage for stage in pair.stages if stage.compared and not stage.differing]
        if equal:
            said.unchanged.append(f"{said.who(pair)}: equal at every step: {', '.join(equal)}")
    else:
        said.unknown.append(text)


def _settings(pair: Comparison, reference: Header, candidate: Header, said: _Said) -> None:
    """As read from living objects; of what one side does not tell, only that it does not."""
    apart = [each for each in pair.settings if not each.name.startswith(_VERSIONS)]
    said.changed += [
        f"{said.who(pair)}: setting {each.name} is {setting_text(each.candidate)}, was "
        f"{setting_text(each.reference)}"
        for each in apart
    ]
    equal = settings_compared(reference, candidate) - len(pair.settings)
    if equal > 0:
        others = f"; {len(apart)} are not" if apart else ""
        said.unchanged.append(
            f"{said.who(pair)}: {equal} settings, read from living objects, are equal{others}"
        )
    for label, names in zip(
        (pair.reference, pair.candidate), told_by_one(reference, candidate), strict=True
    ):
        if names:
            said.unknown.append(f"{pair.case}: settings that {label} alone tells: {_list(names)}")


def _figures(pair: Comparison, said: _Said) -> None:
    """Counts and final metrics, which are the same or not to the last digit."""
    found = [
        each
        for each in pair.findings
        if each.outcome in ("identical", "different") and each.metric not in _OF_THE_VALUES
    ]
    apart = [each for each in found if each.outcome == "different"]
    same = [each for each in found if each.outcome == "identical"]
    if apart:
        texts = [f"{_figure(each)}, was {_number(each.reference)}" for each in apart]
        said.changed.append(f"{said.who(pair)}: {'; '.join(texts)}")
    if same:
        said.unchanged.append(f"{said.who(pair)}: {', '.join(map(_figure, same))}")


def _speed(pair: Comparison, said: _Said) -> None:
    if not pair.findings:
        why = "; ".join(pair.doubts) or "not measured"
        said.unknown.append(f"{said.who(pair)}: speed not told: {why}")
        return
    text = f"{said.who(pair)}: speed {_after_the_pair(pair)}"
    if pair.outcome == "equivalent":
        said.unchanged.append(text)
    elif pair.outcome in ("faster", "slower"):
        said.changed.append(text)
    else:
        said.unknown.append(text)


def _after_the_pair(pair: Comparison) -> str:
    """What is said of a pair, less its names."""
    return sentence(pair).removeprefix(f"{pair.candidate} against {pair.reference}: ")


def _figure(found: Finding) -> str:
    return f"{metric(found.metric).title} {_number(found.candidate)}"


def _number(value: float | None) -> str:
    return "absent" if value is None else number(value, _DIGITS)


def _list(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:_FEW])
    return f"{shown} and {len(every) - _FEW} more" if len(every) > _FEW else shown
