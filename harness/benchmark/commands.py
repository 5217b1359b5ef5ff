"""The arms of a bench of commands: training commands, each as a user would type it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.execution.command.program import find_program
from harness.results.benchmark import CONTROL

__all__ = ["CommandArm", "command_arms", "command_plan", "with_control"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SCRIPT = re.compile(r"\.(py|sh|ipynb)$")


@dataclass(frozen=True)
class CommandArm:
    """One command, where it runs, and with which environment variables."""

    name: str
    words: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]

    @property
    def text(self) -> str:
        """The command, as it is typed."""
        return shlex.join(self.words)


def command_arms(commands: Sequence[Sequence[str]]) -> list[CommandArm]:
    """The arms of `commands` in this folder, without a control. The first is the reference.

    Each is named after its script, or if these names are not different, by a letter. Raises
    `SpecError` if there are less than two commands, or if one cannot be started.
    """
    if len(commands) < 2:
        raise SpecError(
            "a bench of commands compares two or more",
            f"{len(commands)}",
            "write harness bench -- COMMAND_A -- COMMAND_B",
        )
    if len(commands) > len(_LETTERS):
        raise SpecError(f"a bench has at most {len(_LETTERS)} commands", len(commands))
    for words in commands:
        find_program(words)
    scripts = [_script(words) for words in commands]
    distinct = all(scripts) and len({*scripts, CONTROL}) > len(scripts)
    names = scripts if distinct else _LETTERS
    here, variables = Path.cwd(), dict(os.environ)
    return [
        CommandArm(name, tuple(words), here, variables)
        for name, words in zip(names, commands, strict=False)
    ]


def with_control(arms: Sequence[CommandArm]) -> list[CommandArm]:
    """The same arms and a control, the reference once more, after the reference."""
    first = arms[0]
    control = CommandArm(CONTROL, first.words, first.folder, first.variables)
    return [first, control, *arms[1:]]


def command_plan(arms: Sequence[CommandArm]) -> str:
    """A digest of the arms, 16 hexadecimal digits: only sessions of one key belong together."""
    text = json.dumps([(arm.name, arm.words, str(arm.folder)) for arm in arms])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _script(words: Sequence[str]) -> str:
    """The name of the first script of a command; empty if it has none."""
    found = next((Path(word).stem for word in words if _SCRIPT.search(word)), "")
    return re.sub(r"[^A-Za-z0-9._]+", "-", found).strip("._-")
