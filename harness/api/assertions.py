"""`harness.assert_equivalent`: compares two trainings; a difference fails with its reason."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness.api.compare import compare
from harness.api.current_test import current
from harness.api.load import Source
from harness.api.shown import ShownReport
from harness.errors import check_known
from harness.report.text.causes import reasons
from harness.report.text.summary import NOTHING_COMPARED, sentence
from harness.report.text.values import shown as shown_value
from harness.results.comparison import Comparison
from harness.results.header import Header

__all__ = ["FACTS", "LEVELS", "Reference", "assert_equivalent", "environment_differences"]

LEVELS = {
    "identical": ("identical",),
    "within_noise": ("identical", "within_noise"),
    "equivalent": ("identical", "within_noise", "equivalent"),
}
"""By level: the outcomes that satisfy it."""
_NEEDS = {
    "within_noise": "A noise band comes from a run with draws: pass noise=RUN_DIR.",
    "equivalent": "Means are compared over several seeds: pass two runs with seeds.",
}
FACTS = (
    "python",
    "cpu",
    "cpu_capability",
    "threads",
    "device",
    "device_name",
    "cuda",
    "cudnn",
    "driver",
    "float32_matmul_precision",
    "deterministic_algorithms",
)
"""Facts of the environment that may change what is computed, besides versions of libraries."""


@runtime_checkable
class Reference(Protocol):
    """A reference that a test keeps, as the fixture `reference_record` returns it."""

    @property
    def folder(self) -> Path: ...

    def settle(self, candidate: Source) -> bool:
        """Whether the candidate has become the reference, so that nothing is left to compare.

        Raises `AssertionError` if there is no reference.
        """


def assert_equivalent(
    reference: Source | Reference,
    candidate: Source,
    level: str = "identical",
    *,
    rename: Mapping[str, str] | None = None,
    noise: Source | None = None,
    margins: Mapping[str, float | str] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> None:
    """Compare two trainings, and raise `AssertionError` if they are not as equal as `level`.

    `reference`, `candidate`: a folder, a record, a report, or what `harness.trace` returned;
    `reference` may be the fixture `reference_record`. `level`: `identical`, bit for bit;
    `within_noise`, which needs `noise`; `equivalent`, which needs several seeds. The other
    arguments are those of `harness.compare`. An outcome that is unknown is a failure too.

    The message holds the outcome, the first difference with its values, its cause if that is known,
    and the path of the report. `out`: folder of the report; None: in pytest a folder of the test,
    elsewhere a temporary one. A report of an assertion that holds is kept only in `out`.
    """
    __tracebackhide__ = True
    check_known("level", level, LEVELS)
    if isinstance(reference, Reference) and reference.settle(candidate):
        return
    test = current()
    folder = Path(out) if out is not None else _folder()
    options: dict[str, Any] = {"rename": rename, "noise": noise, "margins": margins}
    report = compare(reference, candidate, folder, **options)
    failed = [one for one in report.comparisons if one.outcome not in LEVELS[level]]
    if report.comparisons and not failed:
        if out is None:
            shutil.rmtree(folder)
        return
    if test is not None:
        test.attach(folder / "report.html")
    raise AssertionError("\n".join(_lines(report, failed, level, folder)))


def environment_differences(one: Header, other: Header) -> list[str]:
    """Facts of machine and versions in which two records differ, as `torch 2.8.0, not 2.9.1`."""
    return [
        f"{name} {shown_value(before)}, not {shown_value(now)}"
        for name in dict.fromkeys((*_facts(one), *_facts(other)))
        if (before := _facts(one).get(name)) != (now := _facts(other).get(name))
    ]


def _facts(header: Header) -> dict[str, Any]:
    environment = header.environment
    versions = environment.get("versions")
    known = {name: environment[name] for name in FACTS if name in environment}
    return {**known, **(versions if isinstance(versions, dict) else {})}


def _folder() -> Path:
    test = current()
    if test is not None:
        return test.new_report_folder()
    return Path(tempfile.mkdtemp(prefix="harness-report-"))


def _lines(
    report: ShownReport, failed: list[Comparison], level: str, folder: Path
) -> Iterator[str]:
    """What the message holds, line by line."""
    outcomes = ", ".join(dict.fromkeys(one.outcome for one in failed)) or "not compared"
    yield f"expected {level}, found {outcomes}"
    if not report.comparisons:
        yield NOTHING_COMPARED
    for comparison in failed:
        yield sentence(comparison)
        first = comparison.first_divergence
        if first is not None:
            yield f"{comparison.reference}: {shown_value(first.reference)}"
            yield f"{comparison.candidate}: {shown_value(first.candidate)}"
        yield from reasons(comparison)
        yield from (f"Doubt: {doubt}." for doubt in comparison.doubts)
        yield from (f"Aligned: {line}." for line in comparison.alignment)
    if level in _NEEDS and all(one.noise is None and not one.test for one in failed):
        yield _NEEDS[level]
    yield from _elsewhere(report)
    yield f"report: {folder / 'report.html'}"


def _elsewhere(report: ShownReport) -> Iterator[str]:
    """That the reference was made elsewhere, if it was."""
    records = list(report.records.values())
    if len(records) == 2:
        differences = environment_differences(records[0].header, records[1].header)
        if differences:
            yield f"The reference was made elsewhere: {'; '.join(differences)}."
