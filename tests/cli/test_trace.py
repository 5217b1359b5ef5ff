"""`harness trace` on the command line: wrong use, names, help."""

from __future__ import annotations

import json
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
        report = json.loads(Path(f"out-{number}/report.json").read_text(encoding="utf-8"))
        assert ("no_verdict", []) == (report["verdict"], report["runs"])
        assert f"report: out-{number}/report.html" in answer.err
        assert "" == answer.out


def test_the_words_of_the_command_are_its_own(ask: Ask) -> None:
    """Options after the program belong to it, with and without `--`, and a later `--` too."""
    show = ["sh", "-c", 'printf "%s|" "$@" >> words', "name"]
    for first in (["--"], []):
        ask("trace", "--out", f"out{len(first)}", *first, *show, "--out", "x", "--", "-h")
    assert "--out|x|--|-h|" * 2 == Path("words").read_text(encoding="utf-8")
