"""`harness annotate`: what is printed, what is written where GitHub asks for it, and exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from harness.cli.shared import EXIT_CODES
from harness.report.text.verdict import headline
from harness.results.report import Report, Verdict
from tests.ci.canned import AGREES, DIFFERS, NO_BASELINE, REGRESSED, TIMED

Annotate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def annotate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Annotate:
    """Runs the command on these reports, each in a folder of its own, away from GitHub."""
    from harness.cli import main as cli

    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def answer(*reports: Report) -> tuple[int, str, str]:
        folders = []
        for number, report in enumerate(reports):
            folder = tmp_path / f"report-{number}"
            folder.mkdir(exist_ok=True)
            report.write_json(folder)
            folders.append(str(folder))
        monkeypatch.setattr(sys, "argv", ["harness", "annotate", *folders])
        code = cli.main()
        return (code, *capsys.readouterr())

    return answer


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ((AGREES,), 0),
        ((DIFFERS,), 1),
        ((AGREES, REGRESSED), 1),
        ((NO_BASELINE, AGREES), 4),
        ((NO_BASELINE, DIFFERS), 1),
        ((AGREES, TIMED), 0),
        ((TIMED,), 1),
        ((NO_BASELINE, AGREES.model_copy(update={"verdict": "failed"})), 3),
    ],
)
def test_it_exits_by_the_worst(
    annotate: Annotate, reports: tuple[Report, ...], expected: int
) -> None:
    """Whatever their order; a bench decides only where it is alone."""
    for order in (reports, reports[::-1]):
        code, printed, complaint = annotate(*order)
        assert (expected, "") == (code, complaint)
        assert printed or not expected
        assert all(line.startswith("::") for line in printed.splitlines())


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_has_its_place(annotate: Annotate, verdict: Verdict) -> None:
    """None is forgotten among the worst."""
    report = DIFFERS.model_copy(update={"verdict": verdict})
    assert EXIT_CODES[verdict] == annotate(report)[0]


def test_files_are_written_only_where_they_are_asked_for(
    annotate: Annotate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in them already stays."""
    annotate(DIFFERS)
    assert {"report-0"} == {path.name for path in tmp_path.iterdir()}

    output, summary = tmp_path / "output", tmp_path / "summary"
    for path in (output, summary):
        path.write_text("before=1\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    annotate(DIFFERS)
    assert "before=1\nverdict=different\nexit-code=1\n" == output.read_text("utf-8")
    assert summary.read_text("utf-8").startswith("before=1\n")
    assert headline(DIFFERS) in summary.read_text("utf-8")


@pytest.mark.parametrize("room_bytes", [100, 700, 50_000])
def test_a_summary_stays_within_what_github_takes(
    annotate: Annotate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    """1 MiB with what is there already; what was cut is said. Where there is room it is whole."""
    limit = 1024 * 1024
    summary = tmp_path / "summary"
    summary.write_text("x" * (limit - room_bytes), encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    annotate(DIFFERS, AGREES)

    text = summary.read_text("utf-8")
    assert limit - room_bytes <= len(text.encode()) <= limit
    assert ("Cut here" in text) == (room_bytes < 50_000)
    assert (text.count("## To reproduce") == 2) == (room_bytes == 50_000)


def test_what_cannot_be_written_is_said(
    annotate: Annotate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and the code of wrong use."""
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "nowhere" / "output"))
    code, _, complaint = annotate(AGREES)
    assert 2 == code
    assert "harness: GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name files" in complaint


def test_a_folder_without_a_report_is_wrong_use(tmp_path: Path) -> None:
    """And so is none at all."""
    for arguments in ([str(tmp_path)], []):
        done = subprocess.run(
            [sys.executable, "-m", "harness", "annotate", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
