"""A report -> JUnit XML, for CI systems that read this format.

A result with exit code 1 is a `failure`, one with exit code 3 an `error`. JUnit has no status for
"no verdict", and most programs show `skipped` as green. Therefore a pair or item without a verdict
is `skipped`, with its reason. The test case `verdict` is always present. It is an `error` if the
report as a whole has no verdict, so unknown is never green.

The time of a pair is that in which its candidate trained, or its share of a benchmark; each run is
counted once. The time of `verdict` is the rest of the command's, so that the sum is the whole.

With a baseline, the test cases are the quantities compared with it: two loops that differ as they
did when they were accepted are no regression. Without a baseline, the test cases are the pairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from harness.report.escape import printable
from harness.report.text.answers import first_lines
from harness.report.text.causes import reasons
from harness.report.text.seeds import run_name
from harness.report.text.summary import sentence
from harness.report.text.verdict import headline
from harness.results.comparison import Comparison
from harness.results.regression import CheckItem
from harness.results.report import Report, RunSummary

__all__ = ["junit"]

_SUITE = "trainloop-harness"
_ENDED = ("completed", "stopped")
_FAILING = ("different", "slower", "faster", "regressed")
_PASSING = ("identical", "within_noise", "equivalent", "unchanged", "improved")


@dataclass(frozen=True)
class _Test:
    """One test case; `kind` is 'failure', 'error' or 'skipped', or empty if it passed."""

    suite: str
    name: str
    kind: str = ""
    type: str = ""
    message: str = ""
    text: str = ""
    time_s: float = 0.0


def junit(report: Report) -> str:
    """The whole file."""
    tests = list(_runs(report))
    if report.gate is None:
        times, twice = _Times(report), _both_valued_and_timed(report)
        tests = [
            *(_pair(pair, times.of(pair), _name(pair) in twice) for pair in report.comparisons),
            *tests,
        ]
    else:
        tests = [*map(_item, report.gate.items), *tests]
    took_s = report.origin.took_s if report.origin is not None else 0.0
    tests.insert(0, _verdict(report, max(0.0, took_s - sum(test.time_s for test in tests))))
    suites = ElementTree.Element("testsuites", {"name": _SUITE, **_counts(tests)})
    for name in dict.fromkeys(test.suite for test in tests):
        inside = [test for test in tests if test.suite == name]
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            {"name": printable(name), **_counts(inside), "skipped": _skipped(inside)},
        )
        for test in inside:
            _add(suite, test)
    ElementTree.indent(suites)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return head + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, test: _Test) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=printable(test.suite),
        name=printable(test.name),
        time=f"{test.time_s:.3f}",
    )
    if test.kind:
        attributes = {"message": printable(test.message)}
        if test.kind != "skipped":
            attributes["type"] = test.type
        ElementTree.SubElement(case, test.kind, attributes).text = printable(test.text) or None


def _counts(tests: list[_Test]) -> dict[str, str]:
    count = {kind: sum(test.kind == kind for test in tests) for kind in ("failure", "error")}
    return {
        "tests": str(len(tests)),
        "failures": str(count["failure"]),
        "errors": str(count["error"]),
        "time": f"{sum(test.time_s for test in tests):.3f}",
    }


def _skipped(tests: list[_Test]) -> str:
    return str(sum(test.kind == "skipped" for test in tests))


def _verdict(report: Report, time_s: float) -> _Test:
    """The verdict of the whole report, as the exit code gives it."""
    kinds = {"equivalent": "", "different": "failure", "regression": "failure"}
    kind = kinds.get(report.verdict, "error")
    lines = first_lines(report)
    if not kind:
        return _Test(_SUITE, "verdict", time_s=time_s)
    message = f"{headline(report)} ({report.verdict})"
    text = "\n".join(lines)
    return _Test(_SUITE, "verdict", kind, report.verdict, message, text, time_s)


class _Times:
    """The seconds of the pairs of a report."""

    def __init__(self, report: Report) -> None:
        self._timed = Counter(pair.case for pair in report.comparisons if _is_timed(pair))
        self._bench_s = {case: result.took_s for case, result in report.bench.items()}
        self._run_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        for run in report.runs:
            if run.status in _ENDED:
                label = f"{run.loop} {run.where}" if run.where else run.loop
                self._run_s[run.one_of or run.case, label] += run.wall_s or 0.0

    def of(self, pair: Comparison) -> float:
        """Of a pair, asked once: the time of a run belongs to the first pair that asks."""
        if _is_timed(pair):
            return self._bench_s.get(pair.case, 0.0) / self._timed[pair.case]
        return self._run_s.pop((pair.case, pair.candidate), 0.0)


def _is_timed(pair: Comparison) -> bool:
    return any(found.confidence is not None for found in pair.findings)


def _kind(outcome: str) -> str:
    if outcome in _FAILING:
        return "failure"
    return "" if outcome in _PASSING else "skipped"


def _name(pair: Comparison) -> tuple[str, str]:
    return pair.case, f"{pair.candidate} against {pair.reference}"


def _both_valued_and_timed(report: Report) -> set[tuple[str, str]]:
    """Pairs whose values and speeds are two results. A CI keeps one result for each name."""
    timed = {_name(pair) for pair in report.comparisons if _is_timed(pair)}
    return timed & {_name(pair) for pair in report.comparisons if not _is_timed(pair)}


def _pair(comparison: Comparison, time_s: float, is_one_of_two: bool) -> _Test:
    """A pair; it fails if it is equally fast but computes different values."""
    _, name = _name(comparison)
    if is_one_of_two and _is_timed(comparison):
        name += ": speed"
    outcome = comparison.outcome
    if _kind(outcome) == "" and comparison.equality == "different":
        outcome = "different"
    if not _kind(outcome):
        return _Test(comparison.case, name, time_s=time_s)
    lines = [*reasons(comparison), *comparison.doubts]
    if comparison.note:
        lines.append(f"Known reason: {comparison.note}")
    return _Test(
        comparison.case,
        name,
        _kind(outcome),
        outcome,
        sentence(comparison),
        "\n".join(lines),
        time_s,
    )


def _item(item: CheckItem) -> _Test:
    name = f"{item.loop}: {item.metric}" if item.loop else item.metric
    kind = _kind(item.listed)
    if not kind:
        return _Test(item.case, name)
    return _Test(item.case, name, kind, item.listed, f"{item.listed}: {item.sentence}")


def _runs(report: Report) -> Iterator[_Test]:
    """Runs that did not end normally; the pairs cover the others."""
    for run in report.runs:
        if run.status not in _ENDED:
            kind = "skipped" if run.status == "not run" else "error"
            yield _ended(run, kind)


def _ended(run: RunSummary, kind: str) -> _Test:
    return _Test(
        run.case,
        f"{run_name(run)}: run",
        kind,
        run.status,
        f"{run.status}: {run.error or 'no reason recorded'}",
        time_s=run.wall_s or 0.0,
    )
