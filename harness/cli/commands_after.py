"""The words after `--` on the command line: training commands, separated by `--`."""

from __future__ import annotations

import shlex
import shutil

import typer
from typer.core import TyperCommand

from harness.errors import SpecError

__all__ = ["CommandsAfterDashes", "check_no_single_command", "commands_of"]

_KEY = "harness.commands"
_SINGLE = "harness.single"
_BETWEEN = "--"
_WITH_ONE = "--against"
"""The option with which one command is enough: it is compared with itself."""


class CommandsAfterDashes(TyperCommand):
    """A command of the harness that takes training commands after its own options.

    Words after a single `--` are cases, as in any program, except with `--against`.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is that of click
        """Set the commands aside, and parse the other words."""
        if _BETWEEN in args:
            place = args.index(_BETWEEN)
            own, after = args[:place], args[place + 1 :]
            with_one = any(word.partition("=")[0] == _WITH_ONE for word in own)
            if _BETWEEN in after or (with_one and after):
                args, ctx.meta[_KEY] = own, _commands(after)
            elif after:
                ctx.meta[_SINGLE] = after
        return super().parse_args(ctx, args)


def commands_of(context: typer.Context) -> list[list[str]]:
    """The commands after `--`, each as its words; empty if there are none."""
    found: list[list[str]] = context.meta.get(_KEY, [])
    return found


def check_no_single_command(context: typer.Context, rule: str, remedy: str) -> None:
    """Raise `SpecError` if the words after a single `--` are a command, and not cases."""
    words: list[str] = context.meta.get(_SINGLE, [])
    if words and shutil.which(words[0]) is not None:
        raise SpecError(rule, f"one, {shlex.join(words)}", remedy)


def _commands(words: list[str]) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    for word in words:
        if word == _BETWEEN:
            commands.append([])
        else:
            commands[-1].append(word)
    return commands
