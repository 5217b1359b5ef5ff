"""Runs the commands of the documentation, on small sizes, in the current folder.

A page shows sizes that are of use to its reader; `SMALL` and `REPLACED` make them small. They are
all that the tests change.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import click
import pytest
import typer

from harness.cli import main as cli
from tests.docs.blocks import ROOT, Block, Command

__all__ = ["Runner", "parse"]

_FEW = ["--set", "max_steps=4", "--set", "train_rows=32", "--set", "eval_rows=16"]
_TINY = ["--set", "max_steps=2", "--set", "train_rows=16", "--set", "eval_rows=8"]
SMALL = {
    "run": _FEW,
    "check": _FEW,
    "bench": [*_TINY, "--sessions", "3", "--rounds", "1", "--beside", "nothing"],
    "explain": _TINY,
}
"""By command: what is added to its line."""
REPLACED = {
    "--budget": "20",
    "--noise": "4",
    "--seeds": "2",
    "--resume-at": "2",
    "max_steps": "4",
    "save_every": "2",
}
"""Options and settings: the number that a command runs with, if it has another one."""


class Runner:
    """Runs blocks in the current folder. A failed command raises `AssertionError`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._output = ""

    def run(self, block: Block) -> None:
        """Carry out one block."""
        if block.saved_as:
            path = Path(block.saved_as)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})  # noqa: S102  # our page
        elif block.language == "bash":
            for command in block.commands():
                self._run(command, block.place)
        elif block.is_printed:
            output = " ".join(self._output.split())
            for line in block.text.splitlines():
                assert line in output, f"{block.place}: not printed: {line}: {self._output}"
        elif block.language == "toml" and block.whole_of is None:
            raise AssertionError(f"{block.place}: the page does not say what this file is called")

    def _run(self, command: Command, place: str) -> None:
        text = _made_by_make(command.text)
        words = shlex.split(text)
        self._capsys.readouterr()
        if words[0] == "harness":
            assert not set("$*|<>;&`") & set(text), f"{place}: {text} needs a shell"
            self._monkeypatch.setattr(sys, "argv", small(words))
            # A traced command finds the `python` of this environment, as in an activated one.
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            self._monkeypatch.setenv("PATH", path)
            code = cli.main()
            output = "".join(self._capsys.readouterr())
        else:
            if words[0] == "pytest" and not entry_points(group="pytest11", name="harness"):
                text += " -p harness.pytest_plugin"  # this checkout is not installed
            done = subprocess.run(
                ["bash", "-euc", text],
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                check=False,
            )
            code, output = done.returncode, done.stdout + done.stderr
        self._output = output
        expected = command.exit_codes
        assert code in expected, f"{place}: {text}: exit code {code}, not {expected}: {output}"


def small(words: list[str]) -> list[str]:
    """A command of the harness, on small sizes."""
    changed = list(words)
    for number, word in enumerate(words[1:], start=1):
        name, equals, _ = word.partition("=")
        if words[number - 1] in REPLACED and word.isdigit():
            changed[number] = REPLACED[words[number - 1]]
        elif words[number - 1] == "--set" and equals and name in REPLACED:
            changed[number] = f"{name}={REPLACED[name]}"
    two_folders = words[1] == "explain" and "--loops" not in words
    return [*changed, *([] if two_folders else SMALL.get(words[1], []))]


def parse(command: Command, place: str) -> None:
    """Check a command without running it. Raises `AssertionError`."""
    words = shlex.split(_made_by_make(command.text))
    while words and "=" in words[0]:  # variables of the environment
        words = words[1:]
    if words[0] == "harness":
        _parse_harness(words[1:], place)
    elif words[:2] == ["python", "-m"] and words[2].partition(".")[0] in ("harness", "studies"):
        found = find_spec(words[2])
        assert found is not None, f"{place}: there is no module {words[2]}"
        source = Path(str(found.origin)).read_text(encoding="utf-8")
        for option in (word.partition("=")[0] for word in words[3:] if word.startswith("--")):
            spelled = option.removeprefix("--").replace("-", "_")
            known = option in source or re.search(rf"\b{spelled}\b", source)
            assert known, f"{place}: {words[2]} has no option {option}"


def _parse_harness(words: list[str], place: str) -> None:
    group = cast(click.Group, typer.main.get_command(cli.app))
    try:
        if not words or words[0].startswith("-"):
            group.make_context("harness", list(words))
            return
        assert words[0] in group.commands, f"{place}: there is no command {words[0]}"
        group.commands[words[0]].make_context(words[0], list(words[1:]))
    except typer.Exit:
        pass  # --help, --version
    except Exception as error:
        if not hasattr(error, "format_message"):  # the class is private to typer or click
            raise
        raise AssertionError(f"{place}: {error.format_message()}") from None


def _made_by_make(text: str) -> str:
    """What `make TARGET` runs, by the Makefile, if that is a command of the harness."""
    words = shlex.split(text)
    if words[0] != "make" or len(words) != 2:
        return text
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    target = rf"^{words[1]}:.*"
    assert re.search(target, makefile, re.MULTILINE), f"the Makefile has no target {words[1]}"
    recipe = rf"{target}\n\t\$\(BIN\)/python -m harness\b(.*)$"
    found = re.search(recipe, makefile, re.MULTILINE)
    return f"harness{found.group(1)}" if found else text
