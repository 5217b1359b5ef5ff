"""The pytest plugin: recorded references beside the tests, and reports of failed comparisons.

pytest loads it through the entry point `pytest11`, in every run of every project, so it imports
nothing but pytest until a test uses it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.api.current_test import set_current
from harness.pytest_plugin.names import folder_name

if TYPE_CHECKING:
    from harness.pytest_plugin.references import TestReference

__all__ = ["UPDATE", "reference_record"]

UPDATE = "--update-references"
_REPORT, _REFERENCE = "harness_report", "harness_reference"  # properties, also in junit files


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("harness", "trainings compared by the harness")
    group.addoption(
        UPDATE,
        action="store_true",
        default=False,
        help="Replace recorded references by what the tests record now, on this machine.",
    )
    group.addoption(
        "--harness-reports",
        metavar="DIR",
        default=None,
        help="Folder for the reports of failed comparisons. Default: in the cache of pytest.",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note which test runs."""
    set_current(_Test(item))
    try:
        return (yield)
    finally:
        set_current(None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the references that were written, and the reports."""
    lines: dict[str, None] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == _REFERENCE:
                    lines[str(value)] = None
                elif name == _REPORT:
                    lines[f"report: {value}"] = None
    if lines:
        terminalreporter.section("harness")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def reference_record(request: pytest.FixtureRequest) -> TestReference:
    """The recorded reference of this test: pass it to `harness.assert_equivalent`.

    It lies in the folder `references` beside the test file. `pytest --update-references` makes it.
    """
    from harness.pytest_plugin.references import TestReference

    item = request.node
    updates = bool(request.config.getoption(UPDATE))

    def note(line: str) -> None:
        item.user_properties.append((_REFERENCE, line))

    return TestReference(item.path, item.nodeid, updates, note)


class _Test:
    """The test that runs; see `harness.api.current_test`."""

    def __init__(self, item: pytest.Item) -> None:
        self._item, self._count = item, 0

    def new_report_folder(self) -> Path:
        """A folder of this test, without what an earlier run left in it."""
        import shutil

        self._count += 1
        number = f"-{self._count}" if self._count > 1 else ""
        folder = self._reports() / f"{folder_name(self._item.nodeid)}{number}"
        if (folder / "report.json").is_file():
            shutil.rmtree(folder)
        return folder

    def attach(self, report: Path) -> None:
        """Add the report to the properties of the test."""
        self._item.user_properties.append((_REPORT, str(report)))

    def _reports(self) -> Path:
        chosen = self._item.config.getoption("--harness-reports")
        if chosen is not None:
            return self._item.config.invocation_params.dir / str(chosen)
        cache = getattr(self._item.config, "cache", None)
        if cache is None:  # its plugin is switched off
            return Path(tempfile.mkdtemp(prefix="harness-reports-"))
        return Path(cache.mkdir("harness-reports"))
