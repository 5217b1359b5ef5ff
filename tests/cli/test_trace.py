"""`harness trace` on the command line: wrong use, names, help."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.answers import Ask


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "takes a command (met none)"),
        (["--"], "takes a command (met none)"),
        (["--", "no-such-program", "x"], "a program on the PATH (met no-such-program)"),
        (["--every", "0", "--", "echo"], "must be 1 or more (met 0)"),
        (["--every", "x", "--", "echo"], "'--every'"),
        (["--detail", "most", "--", "echo"], "steps, weights, full (met 'most')"),
        (["--name", "../up", "--", "echo"], "met '../up'"),
        (["--noise", "3", "--", "echo"], "4 draws or more, or 0 for a candidate (met 3)"),
        (["--noise", "-1", "--", "echo"], "4 draws or more, or 0 for a candidate (met -1)"),
        (["--noise", "8", "--every", "2", "--", "echo"], "on full traces (met --every 2)"),
        (["--noise", "0", "--detail", "steps", "--", "echo"], "full traces (met --detail steps)"),
        (["--speed", "--", "echo"], "No such option: --speed"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(
    words: list[str], line: str, refused: Ask
) -> None:
    """Exit code 2, before the command starts."""
    assert line in refused("trace", *words).err


def test_a_file_that_is_no_program_is_refused(ask: Ask) -> None:
    """Whether it cannot be executed, or has no interpreter. No folder is left behind."""
    Path("train.py").write_text("", encoding="utf-8")
    answer = ask("trace", "--out", "out", "--", "./train.py")
    assert (2, False) == (answer.code, Path("out").exists())
    assert "python train.py" in answer.err
    Path("train.py").chmod(0o755)
    answer = ask("trace", "--out", "out", "--", "./train.py")
    assert (2, False) == (answer.code, Path("out").exists())
    assert 1 == len(answer.err.splitlines())


def test_the_exit_code_is_that_of_the_command(ask: Ask) -> None:
    """Also codes that mean something else in the harness, and 128 + N for a signal."""
    for number, (script, code) in enumerate(
        {"exit 0": 0, "exit 3": 3, "exit 130": 130, "kill -9 $$": 137}.items()
    ):
        answer = ask("trace", "--out", f"out-{number}", "--", "sh", "-c", script)
        assert code == answer.code
        assert "" == answer.out


def test_a_command_without_torch_leaves_no_folder(ask: Ask) -> None:
    """Neither one that ended well nor one that failed; a folder that was there stays, empty."""
    Path("mine").mkdir()
    for script, said in {
        "print('hello')": "RECORDED. The command imported no torch",
        "raise SystemExit(2)": "RECORDED. The command ended with exit code 2",
    }.items():
        for out in ("a/b", "mine"):
            answer = ask("trace", "--out", out, "--", sys.executable, "-c", script)
            assert said in answer.err
            assert "no report is written" in answer.err
            assert ([], False) == (list(Path("mine").iterdir()), Path("a").exists())


def test_a_command_with_torch_and_no_training_leaves_a_report(ask: Ask) -> None:
    """The control: what it says is kept, and `harness compare` repeats it."""
    ask("trace", "--out", "out", "--", sys.executable, "-c", "import torch")
    report = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert ("no_verdict", []) == (report["verdict"], report["runs"])


def test_the_words_of_the_command_are_its_own(ask: Ask) -> None:
    """Options after the program belong to it, with and without `--`, and a later `--` too."""
    show = ["sh", "-c", 'printf "%s|" "$@" >> words', "name"]
    for first in (["--"], []):
        ask("trace", "--out", f"out{len(first)}", *first, *show, "--out", "x", "--", "-h")
    assert "--out|x|--|-h|" * 2 == Path("words").read_text(encoding="utf-8")
