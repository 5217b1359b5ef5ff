"""The pytest plugin: a reference is recorded on request, and a difference fails with its reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET  # our own file
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import harness
from harness.api.current_test import current
from harness.pytest_plugin.names import folder_name
from tests.support.records import draft

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
TEST = """
import harness
import torch
from torch import nn

def test_training(tmp_path, reference_record):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with harness.trace(tmp_path / "run") as tracing:
        for _ in range(3):
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    harness.assert_equivalent(reference_record, tracing)
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture(scope="module", autouse=True)
def _loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the tests inside import stays: pytester would drop it, and no library loads twice."""
    folder = tmp_path_factory.mktemp("loaded")
    one, other = draft(), draft()
    other.micro_batch(3)["loss"] = 0.75
    harness.compare(one.write(folder / "a"), other.write(folder / "b"), folder / "out")
    import_module("harness.pytest_plugin.references")
    import torch

    model = torch.nn.Linear(1, 1)
    with harness.trace(folder / "run"):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the test with a learning rate; the plugin is loaded whether or not it is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*options: str, rate: float = 0.5, test: str = TEST) -> pytest.RunResult:
        pytester.makepyfile(test_it=f"RATE = {rate} / 10\n{test}")
        return pytester.runpytest_inprocess("-p", "harness.pytest_plugin", *options)

    return run


def folder(pytester: pytest.Pytester) -> Path:
    """The folder of the reference."""
    return pytester.path / "references" / "test_it" / "test_training"


def test_a_missing_reference_fails_with_one_line(run: Run, pytester: pytest.Pytester) -> None:
    """It names the option; nothing is recorded."""
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*this test has no reference (met none in *--update-references"])
    assert not folder(pytester).exists()


def test_a_recorded_reference_is_kept_and_compared(run: Run, pytester: pytest.Pytester) -> None:
    """The test passes with it; a small file beside it states machine and versions."""
    result = run("--update-references")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["reference written: *references/test_it/test_training (new)"])
    made = json.loads(folder(pytester).with_suffix(".json").read_text(encoding="utf-8"))
    assert ("test_it.py::test_training", 3) == (made["test"], made["updates"])
    assert {"python", "cpu", "harness", "versions"} <= made.keys()
    assert "torch" in made["versions"]
    run().assert_outcomes(passed=1)


def test_a_planted_fault_fails_with_the_explanation(run: Run, pytester: pytest.Pytester) -> None:
    """Control: outcome, step, stage, values, and the path of a report that is there."""
    run("--update-references")
    before = {path: path.read_bytes() for path in folder(pytester).iterdir()}
    result = run("--junit-xml=junit.xml", rate=0.25)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: expected identical, found different",
            "E*different, first at step 1*in learning_rate*",
            "E*0.05*",
            "E*0.025*",
            "E*report: *report.html",
            "report: *report.html",
        ]
    )
    assert before == {path: path.read_bytes() for path in folder(pytester).iterdir()}
    found = ET.parse(pytester.path / "junit.xml").find(".//property[@name='harness_report']")  # noqa: S314  # our own file
    assert found is not None
    assert Path(found.attrib["value"]).is_file()


def test_the_report_goes_to_a_folder_of_ones_own(run: Run, pytester: pytest.Pytester) -> None:
    """And replaces that of the run before."""
    run("--update-references")
    for _ in range(2):
        run("--harness-reports=seen", rate=0.25).assert_outcomes(failed=1)
    (report,) = (pytester.path / "seen").glob("*/report.html")
    assert report.parent.name.startswith("test_it.py-test_training")


def test_an_equal_reference_is_not_written_again(run: Run, pytester: pytest.Pytester) -> None:
    """A changed one is, and the summary states how it differed."""
    run("--update-references")
    before = (folder(pytester) / "record.json").stat().st_mtime_ns
    run("--update-references").stdout.no_fnmatch_line("reference written*")
    assert before == (folder(pytester) / "record.json").stat().st_mtime_ns
    result = run("--update-references", rate=0.25)
    result.stdout.fnmatch_lines(["reference written: *first at step 1*learning_rate*"])
    run(rate=0.25).assert_outcomes(passed=1)
    run(rate=0.5).assert_outcomes(failed=1)


def test_a_reference_of_another_machine_is_reported_as_such(
    run: Run, pytester: pytest.Pytester
) -> None:
    """In the message of the failure, with both values."""
    run("--update-references")
    path = folder(pytester) / "record.json"
    header = json.loads(path.read_text(encoding="utf-8"))
    header["environment"] |= {"cpu": "Abacus 7"}
    header["environment"]["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(header), encoding="utf-8")
    result = run(rate=0.25)
    result.stdout.fnmatch_lines(
        ["E*The reference was made elsewhere: cpu Abacus 7, not *torch 1.0, not *"]
    )


def test_a_failed_training_is_no_reference(run: Run, pytester: pytest.Pytester) -> None:
    """Neither is one without an update."""
    empty = TEST.replace("range(3)", "range(0)")
    result = run("--update-references", test=empty)
    result.stdout.fnmatch_lines(["E*a reference is the record of a complete training*no update*"])
    assert not folder(pytester).exists()


def test_two_comparisons_of_one_test_share_its_reference(run: Run) -> None:
    """The second one is compared with what the first one recorded."""
    again = TEST + "    harness.assert_equivalent(reference_record, tracing)\n"
    run("--update-references", test=again).assert_outcomes(passed=1)


def test_the_plugin_is_an_entry_point_that_imports_at_once() -> None:
    """Below 50 ms, and neither torch nor pyarrow nor pydantic; pytest itself is there already."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = project["entry-points"]["pytest11"]["harness"]
    code = (
        "import sys, time, pytest\n"
        "began = time.perf_counter()\n"
        f"import {name}\n"
        "took = time.perf_counter() - began\n"
        "heavy = {'torch', 'pyarrow', 'pydantic', 'numpy', 'rich'} & set(sys.modules)\n"
        "print(took, sorted(heavy))\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout.split(maxsplit=1)
        for _ in range(3)
    ]
    assert ["[]"] * 3 == [heavy.strip() for _, heavy in runs]
    assert 0.05 > min(float(took) for took, _ in runs)


def test_names_of_tests_stay_different_as_folders() -> None:
    """Whatever their parameters hold."""
    names = ["test_a", "test_a[x/y]", "test_a[x-y]", "test_a[x y]", "test_a" + "b" * 200]
    folders = [folder_name(name) for name in names]
    assert "test_a" == folders[0]
    assert len(names) == len(set(folders))
    assert all("/" not in one and len(one) <= 120 for one in folders)


def test_no_test_is_current_after_it_has_ended(run: Run) -> None:
    """What a comparison outside of a test would be attached to."""
    before = current()
    run()
    assert before is current()
