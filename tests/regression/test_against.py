"""`harness check --against`: what changed between a commit and the working tree is listed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from rich.console import Console

from harness.benchmark.bench_commands import BenchedCommands
from harness.benchmark.commands import CommandArm
from harness.benchmark.figures import command_figures
from harness.benchmark.result import result_of
from harness.benchmark.session import Participant
from harness.benchmark.sessions import BenchRequest, Measured, Subject
from harness.cli.check import run_words
from harness.errors import SpecError
from harness.execution.commit import find_repository
from harness.execution.environments.checkouts import checkouts
from harness.regression import against
from harness.regression.against import AgainstRequest, check_against
from harness.results.header import commit_of
from harness.results.record import RunRecord
from harness.results.report import Report
from tests.docs.blocks import blocks_of
from tests.support.bench_sessions import sessions
from tests.support.repositories import MODEL, git, make_repository

COMMAND = (sys.executable, "train.py")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which the test works."""
    made = make_repository(tmp_path / "repository")
    monkeypatch.chdir(made)
    return made


def checked(tmp_path: Path, **request: object) -> Report:
    asked = AgainstRequest(**{"reference": "main", "command": COMMAND, **request})  # type: ignore[arg-type]
    report, _ = check_against(asked, tmp_path / "out", ["harness"], Console(stderr=True))
    return report


def lists(report: Report) -> tuple[str, str, str]:
    assert report.upgrade is not None
    found = report.upgrade
    return "\n".join(found.changed), "\n".join(found.unchanged), "\n".join(found.unknown)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "verdict", "changed"),
    [
        ("", "", "equivalent", ""),
        ("RATE = 0.1", "RATE = 0.2", "different", "optimizer.learning_rate is 0.2, was 0.1"),
        (".pow(2).mean()", ".pow(2).sum() / 6.000001", "different", "first at step 1"),
    ],
    ids=["nothing", "learning rate", "rounding"],
)
def test_a_change_is_in_its_list(
    old: str, new: str, verdict: str, changed: str, repository: Path, tmp_path: Path
) -> None:
    """Without a change everything is unchanged. The commit is that of the repository."""
    (repository / "model.py").write_text(MODEL.replace(old, new) if old else MODEL)

    report = checked(tmp_path)

    assert verdict == report.verdict
    found, unchanged, unknown = lists(report)
    assert changed in found
    assert bool(changed) == bool(found)
    assert "optimizer steps 12" in unchanged
    assert "" == unknown
    commit = git(repository, "rev-parse", "HEAD")
    then, now = (RunRecord(tmp_path / "out" / run.record) for run in report.runs)
    facts = [record.header.environment["repository"] for record in (then, now)]
    assert [{"commit": commit, "branch": None, "changed": False}] == facts[:1]
    assert {"commit": commit, "branch": "main", "changed": bool(old)} == facts[1]
    assert commit == commit_of(then.header.environment)
    assert 1 == len(git(repository, "worktree", "list").splitlines())


@pytest.mark.slow
def test_a_broken_training_fails_and_says_why(repository: Path, tmp_path: Path) -> None:
    """It ends at its first loss, before a step: there is nothing to compare."""
    (repository / "model.py").write_text(MODEL.replace(".pow(2)", ".power(2)"))

    report = checked(tmp_path)

    assert "failed" == report.verdict
    found, _, unknown = lists(report)
    assert "" == found
    why = (
        "now: The command ended with exit code 1 before a step was seen. "
        "Its last output: AttributeError: 'Tensor' object has no attribute 'power'"
    )
    assert why in unknown
    assert [why] == [note.partition(". Did you mean")[0] for note in report.notes]


@pytest.mark.slow
def test_a_loop_of_the_repository_is_run_at_both_commits(repository: Path, tmp_path: Path) -> None:
    """Its module is that of its commit: the change of the module changes what the loop computes."""
    loop = Path("harness/training/loops/minimal.py")
    text = (Path(__file__).parents[2] / loop).read_text(encoding="utf-8")
    text = text.replace("import itertools\n", "import itertools\n\nimport model as own\n", 1)
    rates = "rates = [recipe.learning_rate"
    assert rates in text
    (repository / "my_loop.py").write_text(text.replace(rates, "rates = [own.RATE"))
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "a loop")
    (repository / "model.py").write_text(MODEL.replace("0.1", "0.2"))
    settings = ["train_rows=16", "eval_rows=8", "max_steps=2"]
    words = run_words(["paraphrase"], "my_loop.py", "matched", settings, "cpu")

    report = checked(tmp_path, command=(), run=words)

    (pair,) = report.comparisons
    assert "different" == pair.outcome
    assert pair.first_divergence is not None
    assert "learning_rate" == pair.first_divergence.stage
    assert "paraphrase, my_loop: values different" in lists(report)[0]


@pytest.mark.slow
def test_speeds_are_in_the_same_report(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From stored sessions: 8% are called slower, and equal values stay unchanged beside them."""

    def benched(arms: list[object], request: BenchRequest, *rest: object) -> BenchedCommands:
        ratios = {"control": (1.0, 1.002, 0.998), "now": (1.08, 1.081, 1.079)}
        made = Measured(sessions(ratios), "a test")
        names = ["plain", "control", "now"]
        subject = Subject("train.py", names, "cpu", "a plan", 0, _never, lambda: None)
        shown = [
            command_figures(CommandArm(name, COMMAND, repository, {}), made.sessions, {})
            for name in names
        ]
        found = result_of(subject, made, request, {}, lambda: shown, None, 1.0)
        return BenchedCommands(*found, (), ())

    monkeypatch.setattr(against, "bench_in", benched)

    report = checked(tmp_path, speeds=BenchRequest(), stop_after=4)

    changed, unchanged, _ = lists(report)
    assert "train.py: speed slower, +8.0% time per step" in changed
    assert "values identical, bit for bit, at all 4 steps" in unchanged
    assert "different" == report.verdict


def _never(where: str, deadline: float) -> AbstractContextManager[dict[str, Participant]]:
    raise AssertionError


def test_the_worktree_is_removed_and_its_modules_come_first(repository: Path) -> None:
    """Also with files that the training left in it; a subfolder corresponds to itself."""
    first = git(repository, "rev-parse", "HEAD")
    (repository / "model.py").write_text("RATE = 3\n")
    with checkouts("main", None, lambda text: None) as (then, now):
        assert MODEL == (then.folder / "model.py").read_text()
        assert str(then.folder) == then.variables["PYTHONPATH"].split(":")[0]
        assert (repository, "now") == (now.folder, now.label)
        assert f"main ({first[:8]})" == then.name
        assert f"working tree (main, {first[:8]}, with changes)" == now.name
        (then.folder / "left.txt").write_text("x")
    assert not then.folder.exists()
    assert 1 == len(git(repository, "worktree", "list").splitlines())


@pytest.mark.slow
def test_the_commit_is_installed_in_an_environment_of_its_own(repository: Path) -> None:
    """The command runs there, and its interpreter has the packages of this one."""
    install = 'python -c \'import sys, torch; open("prefix.txt", "w").write(sys.prefix)\''
    with checkouts("main", install, lambda text: None) as (then, now):
        prefix = (then.folder / "prefix.txt").read_text()
        assert str(Path(then.python).parents[1]) == prefix != sys.prefix
        assert then.libraries.versions["torch"] == now.libraries.versions["torch"]
    assert not (repository / "prefix.txt").exists()


@pytest.mark.parametrize(
    ("reference", "install", "message"),
    [
        ("nowhere", None, "takes a commit, branch or tag"),
        ("--all", None, "takes a commit, branch or tag"),
        ("main", "nosuchprogram -x", "nosuchprogram -x succeeds"),
        ("main", " ", "--install takes a command"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_worktree(
    reference: str, install: str | None, message: str, repository: Path
) -> None:
    with (
        pytest.raises(SpecError, match=message),
        checkouts(reference, install, lambda text: None),
    ):
        pass
    assert 1 == len(git(repository, "worktree", "list").splitlines())


def test_outside_a_repository_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with (
        pytest.raises(SpecError, match="a git repository"),
        checkouts("main", None, lambda text: None),
    ):
        pass
    assert {} == find_repository(tmp_path)
    assert "abc" == commit_of({"commit": "abc"})
    assert "abc+" == commit_of({"commit": "x", "repository": {"commit": "abc", "changed": True}})


GUIDE = Path(__file__).parents[2] / "docs" / "regression-and-ci.md"


def bisected(repository: Path) -> str:
    """What `git bisect` answers with the script of the guide, from the tag `v1.2` on."""
    blocks = [block for block in blocks_of(GUIDE) if "--against v1.2 -- python" in block.text]
    (script,) = (block.text for block in blocks if block.language == "text")
    (repository / "first_change.sh").write_text(script)
    (start, run, _) = next(b for b in blocks_of(GUIDE) if "git bisect run" in b.text).commands()
    git(repository, *start.words[1:])
    return git(repository, *run.words[1:])


@pytest.fixture
def commits(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a commit for each text of the model; the tag `v1.2` is the first commit."""
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    git(repository, "tag", "v1.2")

    def made(**texts: str) -> None:
        for name, text in texts.items():
            (repository / "model.py").write_text(text)
            git(repository, "commit", "-qam", name)

    return made


@pytest.mark.slow
def test_git_finds_the_commit_that_changed_the_training(
    commits: Callable[..., None], repository: Path
) -> None:
    """By the script of the guide; a commit before it changed only a comment."""
    other = MODEL.replace("0.1", "0.2")
    commits(comment=f"# A comment.\n{MODEL}", rate=other, later=f"# A comment.\n{other}")

    found = bisected(repository)

    first = git(repository, "rev-parse", "main~1")
    assert f"{first} is the first bad commit" in found


@pytest.mark.slow
def test_a_commit_that_does_not_train_is_left_out(
    commits: Callable[..., None], repository: Path
) -> None:
    """Control: it is not called the first one that differs, and both stay possible."""
    commits(broken=MODEL.replace(".pow(2)", ".power(2)"), rate=MODEL.replace("0.1", "0.2"))

    with pytest.raises(subprocess.CalledProcessError) as stopped:
        bisected(repository)

    assert "There are only 'skip'ped commits left to test" in stopped.value.stdout
    for commit in ("main", "main~1"):
        assert git(repository, "rev-parse", commit) in stopped.value.stdout
