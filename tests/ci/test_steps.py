"""The steps of every job are run here, by bash, in a fresh copy of the repository.

Installs are noted down rather than made (`place.venv_of_these_tests`). In the fast tests a stand-in
for the harness leaves a report that was written before; `harness annotate` is always the real one.
"""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.report.text.verdict import headline
from harness.results.report import Report
from harness.results.upgrade import UpgradeResult
from tests.ci.canned import (
    AGREES,
    DIFFERS,
    HOSTILE,
    NO_BASELINE,
    PASSES,
    REGRESSED,
    TIMED,
    answers,
)
from tests.ci.place import REPOSITORY, fresh_copy, stand_in, venv_of_these_tests, with_first
from tests.ci.runner import NOT_RUN, Job, Played, play
from tests.support.small_report import DIFFERENT, run

EQUIVALENCE = REPOSITORY / ".github" / "workflows" / "equivalence.yml"
GPU = REPOSITORY / ".github" / "workflows" / "gpu.yml"
TESTS = REPOSITORY / ".github" / "workflows" / "tests.yml"
STEP = "Compare and check"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One fresh copy for the tests that do not write into it."""
    return fresh_copy(tmp_path_factory.mktemp("workspace"))


def played(
    repository: Path, tmp_path: Path, given: dict[str, str] | None = None, **reports: Report | int
) -> Played:
    """The workflow for every change, with `given` in place of some inputs of the action."""
    temp = tmp_path / "temp"
    temp.mkdir()
    venv_of_these_tests(temp, repository, answers(temp, **reports))
    inputs = {"loops": "plain,trainer", "suite": "", "bench-budget": "", **(given or {})}
    job = Job(EQUIVALENCE, "cpu", replaced={STEP: inputs})
    return play(job, repository, temp, {})


def asked(found: Played) -> list[list[str]]:
    lines = (found.temp / "asked.txt").read_text(encoding="utf-8").splitlines()
    return [shlex.split(line) for line in lines]


def test_a_run_that_passes(repository: Path, tmp_path: Path) -> None:
    """Green, no annotation, both reports in the summary and in the artifact, and what was asked."""
    found = played(repository, tmp_path, run=AGREES, check=PASSES)

    assert found.succeeded, found.printed
    assert {"verdict": "equivalent", "exit-code": "0"}.items() <= found.outputs["action"].items()
    assert ([], []) == (found.remarks, found.obeyed)
    for report in (AGREES, PASSES):
        assert headline(report) in found.summary
    folder = found.uploads["equivalence-cpu"]
    assert folder == Path(found.outputs["action"]["folder"])
    assert {"compare", "gate"} == {path.parent.name for path in folder.glob("*/report.json")}
    assert [
        ["run", "--loops=plain,trainer", "--device=cpu", f"--out={folder}/compare", "--"],
        [
            *("check", "--baseline=baselines", "--budget=600", "--loops=plain,trainer"),
            *("--device=cpu", "--exact-only", f"--out={folder}/gate", "--"),
        ],
    ] == asked(found)
    assert [
        "Compare with another commit",
        "Benchmark the loops",
        "Comment on the pull request",
    ] == found.skipped
    text = (folder / "comment.md").read_text(encoding="utf-8")
    assert text.startswith("### ✅ The loops are the same")
    assert "**harness check**: Nothing got worse" in text


def test_a_run_that_regresses(repository: Path, tmp_path: Path) -> None:
    """Red by exit code 1: one error with the two commands, and the report still kept."""
    found = played(repository, tmp_path, run=AGREES, check=REGRESSED)

    assert not found.succeeded
    assert {"verdict": "regression", "exit-code": "1"}.items() <= found.outputs["action"].items()
    (remark,) = found.remarks
    assert ("error", "tiny: steps regressed") == (remark.level, remark.title)
    assert "it was 100 and is 101" in remark.message
    assert "Reproduce: harness check tiny --baseline=baselines\n" in remark.message
    assert "harness accept gate --baseline baselines --reason 'WHY'" in remark.message
    assert headline(REGRESSED) in found.summary
    assert found.uploads["equivalence-cpu"].is_dir()


@pytest.mark.parametrize(("fails", "succeeds"), [("true", False), ("false", True)])
def test_a_run_without_a_baseline(
    repository: Path, tmp_path: Path, fails: str, succeeds: bool
) -> None:
    """No verdict: red, or green with a warning where that was asked for; never silent."""
    given = {"no-verdict-fails": fails}
    found = played(repository, tmp_path, given, run=AGREES, check=NO_BASELINE)

    assert succeeds == found.succeeded
    assert {"verdict": "no_verdict", "exit-code": "4"}.items() <= found.outputs["action"].items()
    (remark,) = found.remarks
    assert ("warning", "tiny: steps missing") == (remark.level, remark.title)
    assert "harness bench tiny --out first" in remark.message
    assert "harness accept first --baseline baselines --reason 'WHY'" in remark.message
    assert headline(NO_BASELINE) in found.summary


def test_the_worst_of_two_reports_is_the_answer(repository: Path, tmp_path: Path) -> None:
    """A difference outweighs not knowing, and comes first."""
    found = played(
        repository, tmp_path, {"no-verdict-fails": "false"}, run=DIFFERS, check=NO_BASELINE
    )

    assert not found.succeeded
    assert "1" == found.outputs["action"]["exit-code"]
    assert ["error", "warning"] == [remark.level for remark in found.remarks]


def test_a_failed_run_is_an_error(repository: Path, tmp_path: Path) -> None:
    """Exit code 3, with what the run left as its last word."""
    broken = run("trainer", status="failed", error="out of memory")
    failed = AGREES.model_copy(update={"verdict": "failed", "runs": (run("plain"), broken)})
    found = played(repository, tmp_path, run=failed, check=PASSES)

    assert not found.succeeded
    assert {"verdict": "failed", "exit-code": "3"}.items() <= found.outputs["action"].items()
    assert "out of memory" in found.remarks[0].message


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [(2, "2", "wrong use"), (137, "3", "code 137 and left no report")],
)
def test_a_command_without_a_report_ends_the_job(
    repository: Path, tmp_path: Path, code: int, expected: str, words: str
) -> None:
    """Wrong use, or a crash: one annotation with the last line, and nothing more is asked."""
    found = played(repository, tmp_path, run=code, check=PASSES)

    assert not found.succeeded
    assert {"verdict": "failed", "exit-code": expected}.items() <= found.outputs["action"].items()
    (remark,) = found.remarks
    assert words in remark.title
    assert "harness: a rule: 100% broken" == remark.message
    assert 1 == len(asked(found))
    assert {"Check against the baseline", "Report the result"} <= set(found.skipped)
    assert "equivalence-cpu" in found.uploads


def test_what_a_loop_prints_is_obeyed_where_nothing_stops_it(tmp_path: Path) -> None:
    """Control: the same hostile lines, printed by a bare step, do reach the runner."""
    workflow = tmp_path / "bare.yml"
    step = {"name": "Bare", "run": f"printf '{HOSTILE}'"}
    workflow.write_text(yaml.safe_dump({"jobs": {"bare": {"steps": [step]}}}), encoding="utf-8")
    found = play(Job(workflow, "bare"), tmp_path, tmp_path / "temp", {})

    assert ["planted"] == [remark.title for remark in found.remarks]
    assert 3 == len(found.obeyed)


@pytest.mark.slow
def test_many_findings_make_ten_annotations_in_all(repository: Path, tmp_path: Path) -> None:
    """Of both reports together; and so they do in the control, one less than ten."""

    def many(count: int) -> Report:
        pairs = tuple(DIFFERENT.model_copy(update={"case": f"c{n}"}) for n in range(count))
        return DIFFERS.model_copy(update={"comparisons": pairs})

    for number, (count, expected) in enumerate([(30, 10), (8, 9)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = played(repository, folder, run=many(count), check=REGRESSED)
        assert expected == len(found.remarks)
        assert "tiny: steps regressed" == found.remarks[0].title
        assert (count == 30) == ("22 more" == found.remarks[-1].title)


AGAINST = TIMED.model_copy(
    update={
        "command": ("harness", "check", "--against=HEAD^1", "--budget=60", "--", "python", "t.py"),
        "upgrade": UpgradeResult(
            sides=("HEAD^1 (01234567)", "working tree (89abcdef)"),
            packages=(),
            packages_same=3,
            changed=("t.py: speed slower, +100.0% time per step",),
            unchanged=("t.py: values identical",),
            unknown=(),
        ),
    }
)


@pytest.mark.parametrize(("report", "succeeds"), [(AGAINST, False), (TIMED, True)])
def test_a_commit_that_is_slower_than_another_fails_the_build(
    repository: Path, tmp_path: Path, report: Report, succeeds: bool
) -> None:
    """Also beside loops that agree. Control: the same figures of a bench only inform."""
    given = {"baseline": "", "against": "HEAD^1", "train": "python\nt.py\n--steps\n9"}
    given |= {"arguments": "--set=a=b", "against-arguments": "--budget=60"}
    found = played(repository, tmp_path, given, run=AGREES, check=report)

    assert succeeds == found.succeeded, found.printed
    folder = found.outputs["action"]["folder"]
    assert [
        *("check", "--against=HEAD^1", "--budget=60", f"--out={folder}/against"),
        *("--", "python", "t.py", "--steps", "9"),
    ] == asked(found)[1]
    if report is AGAINST:
        text = (Path(folder) / "comment.md").read_text(encoding="utf-8")
        assert "| ❌ | t.py: speed slower, +100.0% time per step |" in text


def test_the_cases_can_be_run_at_another_commit(repository: Path, tmp_path: Path) -> None:
    """With the loops and arguments of the other commands."""
    given = {"baseline": "", "against": "main", "cases": "one, two", "arguments": "--set=a=b"}
    found = played(repository, tmp_path, given, run=AGREES, check=AGREES)

    assert found.succeeded, found.printed
    options = ("--loops=plain,trainer", "--device=cpu", "--set=a=b")
    out = f"--out={found.outputs['action']['folder']}/against"
    assert ["check", "--against=main", *options, out, "one", "two"] == asked(found)[1]


def test_inputs_cannot_be_taken_for_scripts(repository: Path, tmp_path: Path) -> None:
    """What is given reaches the harness as single words, whatever a shell would make of them."""
    bad = '$(touch "$RUNNER_TEMP/planted"); `id` && x'
    given = {
        "cases": f"one, {bad}\n--help",
        "arguments": f"--set=a={bad}\n\n--set=b=c d",
        "loops": bad,
        "budget": bad,
        "baseline": bad,
        "device": bad,
        "bench-budget": bad,
    }
    found = played(repository, tmp_path, given, run=AGREES, check=PASSES, bench=AGREES)

    assert not (found.temp / "planted").exists()
    compare, check, bench = asked(found)
    assert "--exact-only" in check
    for words in (compare, check, bench):
        assert {f"--loops={bad}", f"--device={bad}", f"--set=a={bad}", "--set=b=c d"} <= set(words)
        assert ["--", "one", bad, "--help"] == words[-4:]
    assert {f"--baseline={bad}", f"--budget={bad}"} <= set(check)
    assert f"--budget={bad}" in bench


def test_what_is_installed(repository: Path, tmp_path: Path) -> None:
    """From the constraints of the action's own version: pip, torch exactly, the harness, and what
    was asked for beside it."""
    given = {"packages": "--editable=./my loop\n\nextra"}
    found = played(repository, tmp_path, given, run=AGREES, check=PASSES)
    lines = (found.temp / "pip.txt").read_text(encoding="utf-8").splitlines()

    quiet = f"install --quiet --constraint {repository}/constraints.txt"
    torch = next(
        line
        for line in (repository / "constraints.txt").read_text("utf-8").splitlines()
        if line.startswith("torch==")
    )
    assert [
        f"{quiet} --upgrade pip",
        f"{quiet} --extra-index-url=https://download.pytorch.org/whl/cpu {torch}",
        f"{quiet} {repository}[train] --editable=./my loop extra",
        "list",
    ] == lines


@pytest.mark.parametrize(
    ("bench", "succeeds", "level"),
    [
        (TIMED, True, "notice"),
        (TIMED.model_copy(update={"bench": {}}), False, "error"),
        (
            TIMED.model_copy(update={"runs": (run("x", status="failed"),), "verdict": "failed"}),
            False,
            "error",
        ),
    ],
    ids=["bench", "no-bench", "failed"],
)
def test_a_bench_tells_and_does_not_fail(
    repository: Path, tmp_path: Path, bench: Report, succeeds: bool, level: str
) -> None:
    """A loop that is slower is a notice. Controls: the same where it is no bench, and where a run
    failed, is red."""
    given = {"bench-budget": "60", "baseline": ""}
    found = played(repository, tmp_path, given, run=AGREES, bench=bench)

    assert succeeds == found.succeeded, found.printed
    assert level == found.remarks[0].level
    assert any("trainer against plain: slower" in remark.title for remark in found.remarks)
    assert "--budget=60" in asked(found)[1]


def gpu(tmp_path: Path, repository: Path, busy: str = "", **changes: Any) -> Played:
    """The nightly workflow, on a machine whose nvidia-smi tells of these processes."""
    temp = tmp_path / "temp"
    tools = tmp_path / "tools"
    temp.mkdir()
    stand_in(tools / "nvidia-smi", f'case "$1" in --query-compute*) printf "{busy}";; esac')
    venv_of_these_tests(temp, repository, answers(temp, run=AGREES, check=PASSES, bench=AGREES))
    job = Job(GPU, "gpu", **{"event": "schedule", "variables": {"HARNESS_GPU": "true"}, **changes})
    return play(job, repository, temp, with_first(tools))


@pytest.mark.slow
def test_the_nightly_run(repository: Path, tmp_path: Path) -> None:
    """Suite, gate and bench on the GPU, and the build of torch from PyPI, which has CUDA."""
    found = gpu(tmp_path, repository)

    assert found.succeeded, found.printed
    assert ["run", "check", "bench"] == [words[0] for words in asked(found)]
    for words in asked(found):
        assert "--device=cuda" in words
    assert "--suite=agreeing" in asked(found)[0]
    assert ["--", "paraphrase"] == asked(found)[1][-2:]
    assert "extra-index-url" not in (found.temp / "pip.txt").read_text(encoding="utf-8")
    assert "gpu" in found.uploads


@pytest.mark.slow
def test_a_run_on_demand_takes_what_was_asked(repository: Path, tmp_path: Path) -> None:
    """Cases, suite, loops and seconds; no variable is needed."""
    inputs = {"cases": "mrpc, vision", "suite": "noise", "loops": "plain,x.py", "budget": "60"}
    found = gpu(tmp_path, repository, event="workflow_dispatch", inputs=inputs, variables={})

    compare, check, _ = asked(found)
    assert {"--suite=noise", "--loops=plain,x.py"} <= set(compare)
    assert "--budget=60" in check
    assert ["--", "mrpc", "vision"] == check[-3:]


def test_nothing_runs_nightly_where_there_is_no_gpu(repository: Path, tmp_path: Path) -> None:
    """The variable is off until somebody has a runner."""
    found = gpu(tmp_path, repository, variables={})
    assert ([], True) == (found.ran, found.succeeded)


def test_a_gpu_that_others_use_is_not_measured_on(repository: Path, tmp_path: Path) -> None:
    """Another process on it ends the job before anything is asked."""
    found = gpu(tmp_path, repository, busy="123, python")

    assert not found.succeeded
    assert ["The GPU is not ours alone"] == [remark.title for remark in found.remarks]
    assert not (found.temp / "asked.txt").exists()


def test_the_tests_of_every_change(repository: Path, tmp_path: Path) -> None:
    """`.ci/run` asks make for tests, lint and types; it would run this very suite, so make is a
    stand-in that notes it. A target that fails is red."""
    tools = tmp_path / "tools"
    stand_in(tools / "make", f'echo "$@" >>"{tmp_path}/made.txt"; [ "$1" != "$FAILS" ]')
    job = Job(TESTS, "tests")
    found = play(job, repository, tmp_path / "temp", {**with_first(tools), "FAILS": ""})

    assert found.succeeded
    assert ["test", "lint", "types"] == (tmp_path / "made.txt").read_text("utf-8").split()
    for target in ("test", "lint", "types"):
        broken = {**with_first(tools), "FAILS": target}
        assert not play(job, repository, tmp_path / "temp", broken).succeeded


@pytest.mark.slow
def test_every_step_is_run_or_has_a_reason(repository: Path, tmp_path: Path) -> None:
    """No step of any file is left out unseen: its name is among those run here, or its action among
    those that cannot be, each with a reason."""
    seen: set[str] = set()
    for number, run_it in enumerate((whole, nightly, of_every_change)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = run_it(folder, repository)
        seen |= {*found.ran, *found.left_out}
        assert set(found.left_out.values()) <= set(NOT_RUN.values())
    assert step_names() == seen
    assert all(NOT_RUN.values())


def whole(folder: Path, repository: Path) -> Played:
    given = {"bench-budget": "60", "comment-token": "a token", "against": "HEAD^1"}
    return played(repository, folder, given, run=AGREES, check=PASSES, bench=AGREES)


def nightly(folder: Path, repository: Path) -> Played:
    return gpu(folder, repository)


def of_every_change(folder: Path, repository: Path) -> Played:
    stand_in(folder / "tools" / "make", "exit 0")
    return play(Job(TESTS, "tests"), repository, folder / "temp", with_first(folder / "tools"))


def step_names() -> set[str]:
    """Of all workflows and actions; a step that uses one of ours is made of that one's steps."""
    found: set[str] = set()
    for path in (REPOSITORY / ".github").rglob("*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        jobs = [
            *content.get("jobs", {}).values(),
            *([content["runs"]] if "runs" in content else []),
        ]
        steps = itertools.chain.from_iterable(job["steps"] for job in jobs)
        found |= {step["name"] for step in steps if not step.get("uses", "").startswith("./")}
    return found


def test_a_step_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Control: an action without a reason, and an expression beyond those that are played."""
    for step in (
        {"name": "New", "uses": f"somebody/something@{'0' * 40}"},
        {"name": "New", "run": "true", "env": {"A": "${{ hashFiles('x') }}"}},
        {"name": "New", "run": "true", "if": "secrets.x == 'y'"},
    ):
        workflow = tmp_path / "new.yml"
        workflow.write_text(yaml.safe_dump({"jobs": {"new": {"steps": [step]}}}), "utf-8")
        with pytest.raises((KeyError, AssertionError)):
            play(Job(workflow, "new"), tmp_path, tmp_path / "temp", {})
