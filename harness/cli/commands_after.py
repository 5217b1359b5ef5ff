"""The words after `--` on the command line: one or more training commands, separated by `--`."""

from __future__ import annotations

import typer
from typer.core import TyperCommand

__all__ = ["CommandsAfterDashes", "commands_of"]

_KEY = "harness.commands"
_BETWEEN = "--"


class CommandsAfterDashes(TyperCommand):
    """A command of the harness that takes training commands after its own options."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is that of click
        """Set the words after the first `--` aside, and parse the others."""
        if _BETWEEN in args:
            place = args.index(_BETWEEN)
            args, after = args[:place], args[place + 1 :]
            commands: list[list[str]] = [[]]
            for word in after:
                if word == _BETWEEN:
                    commands.append([])
                else:
                    commands[-1].append(word)
            ctx.meta[_KEY] = commands
        return super().parse_args(ctx, args)


def commands_of(context: typer.Context) -> list[list[str]]:
    """The commands after `--`, each as its words; empty if there is no `--`."""
    found: list[list[str]] = context.meta.get(_KEY, [])
    return found
