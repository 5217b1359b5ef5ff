"""Fixtures of `pytest benchmarks/`. Each case is trained twice by each loop, once per session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.cases import CASES
from harness.benchmark.arms import arms_of
from harness.benchmark.bench import bench_cases
from harness.benchmark.sessions import BenchRequest
from harness.comparison.run import run_cases
from harness.regression.baseline import cases_in
from harness.regression.check import CheckRequest, check_cases
from harness.results.comparison import Comparison
from harness.results.regression import CheckResult
from harness.results.report import Report
from harness.results.sessions import Session, read_sessions
from harness.spec.case import Case
from harness.spec.registry import with_settings
from harness.spec.request import RunRequest
from harness.training.devices import absence

LOOPS = ("plain", "accelerated", "trainer")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for the data and model of MRPC, the length of runs, and the budgets."""
    group = parser.getgroup("harness")
    group.addoption("--mrpc-data", help="folder of GLUE MRPC; without it MRPC is skipped")
    group.addoption("--mrpc-model", help="folder of a pretrained BERT for MRPC")
    group.addoption(
        "--steps", type=int, default=60, help="steps of each run; 0: the whole recipe (default: 60)"
    )
    group.addoption(
        "--bench-budget",
        type=float,
        default=320.0,
        help="seconds for all timed cases together, divided evenly (default: 320)",
    )
    group.addoption(
        "--baseline",
        help="folder of harness accept; without it the regression check is skipped",
    )
    group.addoption(
        "--check-budget",
        type=float,
        default=300.0,
        help="seconds for each case that is compared with its baseline (default: 300)",
    )


def chosen_case(config: pytest.Config, name: str) -> Case:
    """The case of that name with the given options; skips a case whose data are missing."""
    case = _with_data(config, CASES[name])
    if steps := config.getoption("--steps"):
        case = with_settings(case, {"max_steps": steps})
    return case


def _with_data(config: pytest.Config, case: Case) -> Case:
    """The case with the given folders; skips it if it needs one that is missing."""
    settings: dict[str, object] = {}
    if case.workload == "mrpc":
        for option in ("data", "model"):
            value = config.getoption(f"--mrpc-{option}")
            if value is None:
                pytest.skip(
                    f"not run: MRPC needs --mrpc-data and --mrpc-model, --mrpc-{option} absent"
                )
            settings[option] = str(Path(value).resolve())
    return with_settings(case, settings)


class Runs:
    """The reports of the requested cases; each run is made once."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._reports: dict[str, Report] = {}

    def comparison(self, case: str, reference: str, candidate: str) -> Comparison:
        """The comparison of a pair, which is trained at its first use."""
        if case not in self._reports:
            request = RunRequest(
                cases=(chosen_case(self._config, case),),
                loops=tuple(LOOPS * 2),
                out=self._folder / case,
            )
            command = ["pytest", "benchmarks"]
            self._reports[case], _ = run_cases(request, Console(stderr=True), command)
        return next(
            pair
            for pair in self._reports[case].comparisons
            if (pair.reference, pair.candidate) == (reference, candidate)
        )


class Speeds:
    """The benches of the requested cases, each made once, within one budget."""

    def __init__(self, config: pytest.Config, folder: Path, requested: set[str]) -> None:
        """`requested`: the cases and devices to measure, as 'case-device'."""
        self._config, self._folder = config, folder
        self._budget_s = config.getoption("--bench-budget") / max(1, len(requested))
        self._found: dict[str, tuple[Report, Sequence[Session]]] = {}

    def of(self, name: str, device: str) -> tuple[Report, Sequence[Session]]:
        """The report and the sessions of a case; skips a device that is absent."""
        key = f"{name}-{device}"
        if key not in self._found:
            case = chosen_case(self._config, name).model_copy(update={"device": device})
            if device == "cuda" and (absent := absence(device)):
                pytest.skip(f"not run: {absent}")
            request = BenchRequest(budget_s=self._budget_s, beside="equality")
            arms = arms_of(case, LOOPS, "matched")
            folder, command = self._folder / key, ["pytest", "benchmarks"]
            report, _ = bench_cases({name: arms}, request, folder, command, Console(stderr=True))
            self._found[key] = report, read_sessions(folder)
        return self._found[key]


class Checks:
    """The results of `harness check` for the requested cases, each checked once."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._found: dict[str, CheckResult] = {}

    def of(self, name: str) -> CheckResult:
        """The result of a case's check; skips a case without a baseline."""
        if name not in self._found:
            passed = self._config.getoption("--baseline")
            if passed is None:
                pytest.skip("not run: no --baseline")
            if name not in cases_in(Path(passed)):
                pytest.skip(f"not run: no baseline of {name} in {passed}")
            budget_s = self._config.getoption("--check-budget")
            report, _ = check_cases(
                [_with_data(self._config, CASES[name])],
                CheckRequest(baseline=Path(passed), loops=LOOPS, budget_s=budget_s),
                self._folder / name,
                ["pytest", "benchmarks"],
                Console(stderr=True),
            )
            assert report.gate is not None
            assert "failed" != report.verdict, report.gate.items[-1].sentence
            self._found[name] = report.gate
        return self._found[name]


@pytest.fixture(scope="session")
def checks(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Checks:
    """All checks of this session."""
    return Checks(pytestconfig, tmp_path_factory.mktemp("checks"))


@pytest.fixture(scope="session")
def speeds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Speeds:
    """All benches of this session; a skipped case has no share of the budget."""
    measured = set()
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "speeds" in item.fixturenames:
            case, device = (str(item.callspec.params[name]) for name in ("case", "device"))
            at_hand = case != "mrpc" or request.config.getoption("--mrpc-data")
            if at_hand and not absence(device):
                measured.add(f"{case}-{device}")
    return Speeds(request.config, tmp_path_factory.mktemp("speeds"), measured)


@pytest.fixture(scope="session")
def runs(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All runs of this session."""
    return Runs(pytestconfig, tmp_path_factory.mktemp("benchmarks"))
