"""`--python`, `--with`, `harness upgrade` and `harness bisect` on the command line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support import command
from tests.support.fake_packages import NAME, Release, index, only_from
from tests.support.small_runs import write_pairs

LOOP = Path(__file__).parents[1] / "support" / "reads_fakelib.py"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["upgrade"], "neither --python nor --with"),
        (["upgrade", "--with", "transformers=4"], "--with takes requirements"),
        (["upgrade", "--with", "a==1", "--python", "x"], "met --python and --with"),
        (["upgrade", "--python", "/no/such/python"], "takes an interpreter"),
        (["upgrade", "--with", "a @ https://host/a.whl"], "only packages from the index"),
        (["run", "--with", "a==1", "--noise", "8"], "met --noise"),
        (["run", "--with", "a==1", "--localize"], "met --localize"),
        (["run", "--with", "a==1", "--devices", "cpu,cuda"], "met --devices"),
        (["bench", "--with", "a==1", "--arm", "x=plain"], "time each loop beside itself"),
        (["bisect", "--good", "1.0"], "--bad"),
        (["bisect", "--package", "a b", "--good", "1", "--bad", "2"], "takes requirements"),
    ],
)
def test_wrong_use_is_a_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Exit code 2, before anything is made."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    answer = command.harness(*arguments, cwd=tmp_path)
    assert 2 == answer.returncode
    assert message in answer.stderr
    assert 1 == len(answer.stderr.strip().splitlines())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_release_that_trains_otherwise_is_found_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip, environments, training processes, traces: 1.1 of three releases changes the rate.

    Then an upgrade across it is reported as a change, and an upgrade without a change is not.
    Searches among more releases: `tests/diagnosis/test_bisect.py`.
    """
    rates = {"1.0": 1e-4, "1.1": 2e-4, "1.2": 2e-4}
    url = index(tmp_path / "index", *(Release(version, rate) for version, rate in rates.items()))
    for name, value in only_from(url, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    data = write_pairs(tmp_path / "data")
    common = ("--loops", LOOP, "--set", f"data={data}", "--set", "max_steps=2")
    bounds = ("--good", "1.0", "--bad", "1.2")
    answer = command.harness(
        "bisect", "--package", NAME, *bounds, *common, "--out", "out", cwd=tmp_path
    )
    assert 1 == answer.returncode, answer.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "1.1" == report["bisect"]["first_differing"]
    assert "learning_rate" in report["bisect"]["sentence"]
    assert not re.search(str(tmp_path / "cache"), json.dumps(report))

    for one, two, code in (("1.0", "1.1", 1), ("1.1", "1.2", 0)):
        sides = [word for version in (one, two) for word in ("--with", f"{NAME}=={version}")]
        out = f"{one}-{two}"
        answer = command.harness(
            "upgrade", *sides, *common, "--budget", "0", "--out", out, cwd=tmp_path
        )
        assert code == answer.returncode, answer.stderr
        upgrade = json.loads((tmp_path / out / "report.json").read_text())["upgrade"]
        assert [f"{NAME} {one}", f"{NAME} {two}"] == upgrade["sides"]
        assert [NAME] == [each["name"] for each in upgrade["packages"]]
        assert bool(code) == bool(upgrade["changed"])


@pytest.mark.slow
def test_arms_with_other_libraries_are_traced_and_timed(tmp_path: Path) -> None:
    """`bench --python`: speeds come with equality, and no path of an interpreter is reported."""
    data = write_pairs(tmp_path / "data")
    answer = command.harness(
        *("bench", "--python", sys.executable, "--loops", "plain", "--set", f"data={data}"),
        *("--sessions", "3", "--rounds", "2", "--budget", "600", "--beside", "equality"),
        *("--margin", "90%", "--out", "out"),
        cwd=tmp_path,
    )
    assert answer.returncode in (0, 1, 4), answer.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (pair,) = report["comparisons"]
    assert "identical" == pair["equality"]
    assert 2 == len(report["runs"])
    arms = report["bench"]["paraphrase-plain"]["arms"]
    assert all("transformers" in arm["python"] for arm in arms)
    del report["command"]
    assert sys.executable not in json.dumps(report)
