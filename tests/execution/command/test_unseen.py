"""What is said of a command that left no record."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.execution.command.unseen import Note, notes_in, what_was_unseen


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["python", "-I", "x.py"], "-I"),
        (["/usr/bin/python3.11", "-u", "-Es", "x.py"], "-E"),
        (["python", "-W", "ignore", "-S", "-m", "x"], "-S"),
        (["python", "-Im", "x"], "-I"),
        (["python", "x.py", "-I"], ""),
        (["python", "-m", "x", "-E"], ""),
        (["python", "-c", "-S"], ""),
        (["python", "-WIgnore", "x.py"], ""),
        (["bash", "-E", "x.sh"], ""),
    ],
)
def test_an_option_that_hides_the_path_is_named(words: list[str], option: str) -> None:
    """Only if it is one of Python's own."""
    (sentence,) = what_was_unseen(words, [], recorded=False)
    assert (f"started with {option}," in sentence) is bool(option)


def test_each_reason_has_its_sentence() -> None:
    """Torch without a step; nothing at all; a problem, which is also said beside a record."""
    (sentence,) = what_was_unseen(["python", "x.py"], [Note(""), Note("")], recorded=False)
    assert sentence.startswith("2 processes imported torch, but no optimizer")
    (sentence,) = what_was_unseen(["python", "x.py"], [], recorded=False)
    assert sentence.startswith("The command imported no torch, as far as the harness saw,")
    assert () == what_was_unseen(["python", "x.py"], [Note("")], recorded=True)
    (sentence,) = what_was_unseen(["x"], [Note("it broke"), Note("it broke")], recorded=True)
    assert "A process was not recorded: it broke." == sentence
    (sentence,) = what_was_unseen(["x"], [], recorded=False, exit_code=4)
    assert "exit code 4" in sentence


def test_a_note_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """It never counts as seen."""
    (tmp_path / "1.json").write_text('{"problem": ""}', encoding="utf-8")
    (tmp_path / "2.json").write_text("{", encoding="utf-8")
    assert ["", "a process left a note that cannot be read"] == [
        note.problem for note in notes_in(tmp_path)
    ]
