"""Summarize an upgrade: one sentence for each result that changed, stayed equal or is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.execution.environments.variants import LibrarySet, package_changes, packages_same
from harness.report.text.summary import sentence
from harness.report.text.values import setting_text
from harness.results.comparison import Comparison, Finding
from harness.results.metrics import metric
from harness.results.record import Header
from harness.results.settings import reported_by_one, settings_compared
from harness.results.upgrade import UpgradeResult
from harness.units import number

__all__ = ["Headers", "upgrade_result"]

Headers = Mapping[tuple[str, str], Header]
"""Headers of the traced runs, by case and by the label of the run in comparisons."""
_FEW = 8  # names that a list shows
_VERSIONS = "versions."
_COVERED_BY_VALUES = ("epochs", "first_grad_norm")  # metrics that the sentence on values covers
_DIGITS = 9


@dataclass
class _Summary:
    names: Sequence[str]
    """Names of the sets of libraries."""
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def subject(self, pair: Comparison) -> str:
        """Case and loop; with more than two sets of libraries, also the set."""
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
    sides: Sequence[LibrarySet],
    traced: Sequence[Comparison],
    headers: Headers,
    timed: Sequence[Comparison],
) -> UpgradeResult:
    """`traced`: comparisons of each loop with itself under the first libraries; `timed`: the same
    for speeds."""
    summary = _Summary([side.name for side in sides])
    for pair in traced:
        _values(pair, summary)
        one, two = (headers.get((pair.case, name)) for name in (pair.reference, pair.candidate))
        if one is not None and two is not None:
            _settings(pair, one, two, summary)
        _figures(pair, summary)
    for pair in timed:
        _speed(pair, summary)
    return UpgradeResult(
        sides=tuple(summary.names),
        packages=package_changes(sides),
        packages_same=packages_same(sides),
        changed=tuple(summary.changed),
        unchanged=tuple(summary.unchanged),
        unknown=tuple(summary.unknown),
    )


def _values(pair: Comparison, summary: _Summary) -> None:
    text = f"{summary.subject(pair)}: values {_without_pair(pair)}"
    if pair.outcome in ("identical", "equivalent"):
        summary.unchanged.append(text)
    elif pair.outcome == "different":
        summary.changed.append(text)
        equal = [stage.stage for stage in pair.stages if stage.compared and not stage.differing]
        if equal:
            summary.unchanged.append(
                f"{summary.subject(pair)}: equal at every step: {', '.join(equal)}"
            )
    else:
        summary.unknown.append(text)


def _settings(pair: Comparison, reference: Header, candidate: Header, summary: _Summary) -> None:
    """Settings read from the training objects. A setting that only one run reports is unknown."""
    different = [each for each in pair.settings if not each.name.startswith(_VERSIONS)]
    summary.changed += [
        f"{summary.subject(pair)}: setting {each.name} is {setting_text(each.candidate)}, was "
        f"{setting_text(each.reference)}"
        for each in different
    ]
    equal = settings_compared(reference, candidate) - len(pair.settings)
    if equal > 0:
        others = f"; {len(different)} not equal" if different else ""
        summary.unchanged.append(
            f"{summary.subject(pair)}: {equal} {_plural('setting', equal)} read from the training "
            f"objects {'is' if equal == 1 else 'are'} equal{others}"
        )
    for label, names in zip(
        (pair.reference, pair.candidate), reported_by_one(reference, candidate), strict=True
    ):
        if names:
            summary.unknown.append(
                f"{pair.case}: settings reported only by {label}: {_list(names)}"
            )


def _figures(pair: Comparison, summary: _Summary) -> None:
    """Counts and final metrics, which are compared exactly."""
    found = [
        each
        for each in pair.findings
        if each.outcome in ("identical", "different") and each.metric not in _COVERED_BY_VALUES
    ]
    different = [each for each in found if each.outcome == "different"]
    same = [each for each in found if each.outcome == "identical"]
    if different:
        texts = [f"{_figure(each)}, was {_number(each.reference)}" for each in different]
        summary.changed.append(f"{summary.subject(pair)}: {'; '.join(texts)}")
    if same:
        summary.unchanged.append(f"{summary.subject(pair)}: {', '.join(map(_figure, same))}")


def _speed(pair: Comparison, summary: _Summary) -> None:
    if not pair.findings:
        why = "; ".join(pair.doubts) or "not measured"
        summary.unknown.append(f"{summary.subject(pair)}: speed unknown: {why}")
        return
    text = f"{summary.subject(pair)}: speed {_without_pair(pair)}"
    if pair.outcome == "equivalent":
        summary.unchanged.append(text)
    elif pair.outcome in ("faster", "slower"):
        summary.changed.append(text)
    else:
        summary.unknown.append(text)


def _without_pair(pair: Comparison) -> str:
    """The sentence of a pair without the names of the two runs."""
    return sentence(pair).removeprefix(f"{pair.candidate} against {pair.reference}: ")


def _figure(found: Finding) -> str:
    return f"{metric(found.metric).title} {_number(found.candidate)}"


def _number(value: float | None) -> str:
    return "absent" if value is None else number(value, _DIGITS)


def _list(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:_FEW])
    return f"{shown} and {len(every) - _FEW} more" if len(every) > _FEW else shown


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
