"""The recipe for GitLab: each job's script is run here, and its exit code read as GitLab does."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.results.report import Report
from tests.ci.canned import AGREES, DIFFERS, NO_BASELINE, PASSES, REGRESSED, answers
from tests.ci.gitlab import Status, resolved, status_of
from tests.ci.place import REPOSITORY, fresh_copy, stand_in, venv_of_these_tests, with_first

CONTENT = yaml.safe_load((REPOSITORY / "docs" / "gitlab-ci.yml").read_text(encoding="utf-8"))
ON_A_GPU = "gate on a GPU"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the harness that can be cloned, with all that git would carry."""
    folder = fresh_copy(tmp_path_factory.mktemp("upstream"))
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for command in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", "All")):
        subprocess.run(["git", *command], cwd=folder, check=True, timeout=60)
    return folder


def job(
    name: str, repository: Path, tmp_path: Path, **reports: Report | int
) -> tuple[Status, str, list[list[str]]]:
    """Status and output of a job, and what it asked of the harness. `python3 -m venv` is a stand-in
    that gives the environment of these tests; the clone is a real one."""
    workspace, temp, tools = (tmp_path / part for part in ("work", "temp", "tools"))
    for folder in (workspace, temp):
        folder.mkdir()
    venv_of_these_tests(temp, workspace / ".harness", answers(temp, **reports))
    stand_in(tools / "python3", f'[ "$1 $2" = "-m venv" ] && cp -r "{temp}/harness-venv" "$3"')
    upstream = {"HARNESS_REPOSITORY": f"file://{repository}", **with_first(tools)}
    status, printed = status_of(CONTENT, name, workspace, upstream)
    lines = (temp / "asked.txt").read_text(encoding="utf-8").splitlines()
    return status, printed, [shlex.split(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "report", "expected"),
    [
        ("compare", AGREES, "passed"),
        ("compare", DIFFERS, "failed"),
        ("gate", PASSES, "passed"),
        ("gate", REGRESSED, "failed"),
        ("gate", NO_BASELINE, "warning"),
        ("gate", 2, "failed"),
        (ON_A_GPU, PASSES, "passed"),
        (ON_A_GPU, NO_BASELINE, "failed"),
    ],
)
def test_a_job_ends_by_what_was_found(
    repository: Path, tmp_path: Path, name: str, report: Report | int, expected: Status
) -> None:
    """Green, red, or orange where nothing is known; never orange on a GPU of one's own."""
    command = "run" if name == "compare" else "check"
    status, printed, asked = job(name, repository, tmp_path, **{command: report})

    assert expected == status, printed
    gpu = ["--device", "cuda"] if name == ON_A_GPU else []
    baseline = [] if name == "compare" else ["--baseline", "baselines"]
    loops = ["--loops", "plain,accelerated,trainer"]
    assert [[command, "paraphrase", *loops, *gpu, *baseline, "--out", "out"]] == asked


def test_what_is_installed_is_pinned(repository: Path, tmp_path: Path) -> None:
    """pip, torch exactly, the harness; the constraints are those of the clone."""
    job("compare", repository, tmp_path, run=AGREES)
    lines = (tmp_path / "temp" / "pip.txt").read_text(encoding="utf-8").splitlines()

    assert "install --quiet --upgrade pip" == lines[0]
    assert lines[1].startswith("install --quiet torch==")
    assert "install --quiet ./.harness[train]" == lines[2]
    assert 3 == len(lines)
    assert (tmp_path / "work" / ".harness" / "constraints.txt").is_file()


def test_no_merge_request_reaches_a_gpu() -> None:
    """Its rules name sources that only members can start, its runner takes one job at a time; the
    jobs on shared runners, for control, are there for merge requests."""
    jobs = resolved(CONTENT)
    asked = {name: str(jobs[name]["rules"]) for name in ("compare", "gate", ON_A_GPU)}

    assert ["compare", "gate"] == [
        name for name, rules in asked.items() if "merge_request" in rules
    ]
    assert all("CI_PIPELINE_SOURCE ==" in rule["if"] for rule in jobs[ON_A_GPU]["rules"])
    assert ("gpu", ["gpu"]) == (jobs[ON_A_GPU]["resource_group"], jobs[ON_A_GPU]["tags"])
    for name in asked:
        assert "timeout" in jobs[name]
        assert {"when": "always", "reports": {"junit": "out/junit.xml"}}.items() <= jobs[name][
            "artifacts"
        ].items()
