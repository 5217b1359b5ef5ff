"""What could not be seen of a command, and how to change that."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Note", "notes_in", "what_was_unseen"]

_PYTHON = re.compile(r"(python|pypy)[\d.]*(w|\.exe)?$")
_ISOLATING = {"I": "-I", "E": "-E", "S": "-S"}


@dataclass(frozen=True)
class Note:
    """What a process left that imported torch."""

    problem: str
    """Why it was not recorded, or not completely; empty if nothing was wrong."""


def notes_in(folder: Path) -> list[Note]:
    """The notes of all processes that could write one."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Note(str(json.loads(path.read_text(encoding="utf-8"))["problem"])))
        except (OSError, ValueError, KeyError, TypeError):
            found.append(Note("a process left a note that cannot be read"))
    return found


def what_was_unseen(
    command: Sequence[str], notes: Sequence[Note], recorded: bool, exit_code: int = 0
) -> tuple[str, ...]:
    """Sentences on what was not recorded. `recorded`: whether there is a record."""
    problems = dict.fromkeys(note.problem for note in notes if note.problem)
    sentences = [f"A process was not recorded: {problem}." for problem in problems]
    if recorded or sentences:
        return tuple(sentences)
    if exit_code:
        return (f"The command ended with exit code {exit_code} before a step was seen.",)
    if notes:
        count = "A process" if len(notes) == 1 else f"{len(notes)} processes"
        return (
            f"{count} imported torch, but no optimizer of torch.optim made a step there, and no "
            "weight changed after a call of `backward`.",
        )
    option = _isolating_option(command)
    if option:
        return (
            f"Python was started with {option}, so it ignores PYTHONPATH and the harness could not "
            f"attach. Leave {option} out.",
        )
    return (
        "The command imported no torch, as far as the harness saw, so it trained nothing that can "
        "be recorded. If it does train: the harness attaches through PYTHONPATH and HARNESS_TRACE. "
        "Both must reach the Python that trains, which must not be started with -I, -E or -S.",
    )


def _isolating_option(command: Sequence[str]) -> str:
    """The option with which Python ignores its environment; empty if there is none."""
    if not command or not _PYTHON.match(Path(command[0]).name):
        return ""
    words = iter(command[1:])
    for word in words:
        if not word.startswith("-") or word in ("-", "-c", "-m"):
            return ""
        if word in ("-W", "-X"):
            next(words, None)
        elif not word.startswith("--"):
            letters = re.split("[cmWX]", word[1:])[0]
            found = [option for letter, option in _ISOLATING.items() if letter in letters]
            if found:
                return found[0]
            if re.search("[cm]", word[1:]):
                return ""
    return ""
