"""A case over time: rows, change points, a plot, through the command line."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli import main as cli
from harness.regression import history
from harness.regression.accept import accept
from tests.support.made_up_runs import bench_folder, made_up_draft, timed


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight accepted runs; from the fifth on the trainer is 10% slower with other values."""
    folder = tmp_path_factory.mktemp("history")
    for number in range(8):
        trainer = made_up_draft("trainer")
        if number >= 4:
            trainer.micro_batch(3).update(loss=0.5, task_loss=0.5)
        drafts = {"plain": made_up_draft(), "trainer": trainer}
        made = timed(loop=1.0 if number < 4 else 1.1, seed=number)
        run = bench_folder(folder / f"run-{number}", drafts, made)
        accept(run, folder / "baselines", f"number {number + 1}")
    return folder / "baselines"


def test_entries_stand_in_the_order_of_acceptance(baselines: Path) -> None:
    """The oldest first, the one that counts last."""
    found = history.entries(baselines, "tiny")
    assert [f"number {i}" for i in range(1, 9)] == [entry.baseline.reason for entry in found]
    assert list(range(1, 9)) == [entry.number for entry in found]


def test_a_change_point_is_found_where_it_is(baselines: Path) -> None:
    """And none among runs that are alike, nor in fewer than four."""
    found = history.entries(baselines, "tiny")
    assert [5] == history.change_points(found, "trainer")
    assert [] == history.change_points(found[:4], "trainer")
    assert [] == history.change_points(found[4:], "trainer")
    assert [] == history.change_points(found[2:5], "trainer")


def test_what_computes_otherwise_is_named(baselines: Path) -> None:
    """By its exact facts against the one before."""
    found = [entry.baseline for entry in history.entries(baselines, "tiny")]
    assert ("", "none", "trainer") == (
        history.exact_changes(None, found[0]),
        history.exact_changes(found[0], found[1]),
        history.exact_changes(found[3], found[4]),
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["harness", "history", *arguments])
    return cli.main()


def test_the_command_shows_a_table_and_writes_a_plot(
    baselines: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each run with its reason; the change point in words; the plot is whole XML."""
    assert 0 == run(monkeypatch, "tiny", "--baseline", str(baselines), "--out", str(tmp_path))
    output = " ".join(capsys.readouterr().out.split())
    assert "trainer: the speed changed at no. 5" in output
    (path,) = tmp_path.glob("tiny@*.svg")
    assert ElementTree.parse(path).getroot().tag.endswith("svg")  # noqa: S314  # our own file


def test_without_the_extra_it_says_so(
    baselines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line; the rest is shown."""
    monkeypatch.setattr(history, "find_spec", lambda _: None)
    assert 0 == run(monkeypatch, "tiny", "--baseline", str(baselines))
    output = " ".join(capsys.readouterr().out.split())
    assert history.NO_RUPTURES in output
    assert "number" in output


def test_an_unknown_case_is_one_line(
    baselines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; the known ones are named."""
    assert 2 == run(monkeypatch, "tinny", "--baseline", str(baselines))
    assert "did you mean 'tiny'" in capsys.readouterr().err
