"""One session of runs serves every item: each case is trained twice by every loop."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.cases import CASES
from harness.catalogue import with_settings
from harness.compare import Comparison
from harness.report.model import Report
from harness.session import run_cases
from harness.spec import Case

LOOPS = ("plain", "accelerated", "trainer")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the data and model of MRPC are, and how long the runs are."""
    group = parser.getgroup("harness")
    group.addoption("--mrpc-data", help="folder of GLUE MRPC; without it MRPC is skipped")
    group.addoption("--mrpc-model", help="folder of a pretrained BERT for MRPC")
    group.addoption(
        "--steps", type=int, default=60, help="steps of each run; 0: the whole recipe (default: 60)"
    )
    group.addoption("--detection-out", help="folder for the score of test_detection.py")


def chosen_case(config: pytest.Config, name: str) -> Case:
    """The case of that name with the options given; skips, with the reason, what is not at hand."""
    case = CASES[name]
    settings: dict[str, object] = {}
    if case.workload == "mrpc":
        for option in ("data", "model"):
            value = config.getoption(f"--mrpc-{option}")
            if value is None:
                pytest.skip(
                    f"not run: MRPC needs --mrpc-data and --mrpc-model, --mrpc-{option} absent"
                )
            settings[option] = str(Path(value).resolve())
    if steps := config.getoption("--steps"):
        settings["max_steps"] = steps
    return with_settings(case, settings)


class Runs:
    """The reports of the cases that were asked for, each run made once."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._reports: dict[str, Report] = {}

    def comparison(self, case: str, reference: str, candidate: str) -> Comparison:
        """That pair of that case, trained first where it was not yet."""
        if case not in self._reports:
            self._reports[case], _ = run_cases(
                [chosen_case(self._config, case)],
                loops=LOOPS * 2,
                conventions="matched",
                jobs=None,
                out=self._folder / case,
                command=["pytest", "benchmarks"],
                console=Console(stderr=True),
            )
        return next(
            pair
            for pair in self._reports[case].comparisons
            if (pair.reference, pair.candidate) == (reference, candidate)
        )


@pytest.fixture(scope="session")
def runs(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All runs of this session."""
    return Runs(pytestconfig, tmp_path_factory.mktemp("benchmarks"))
