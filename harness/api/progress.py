"""Where progress is shown from Python: in a notebook, as lines, and elsewhere not at all."""

from __future__ import annotations

from rich.console import Console

__all__ = ["progress_console"]


def progress_console() -> Console:
    """The output of the current cell in a notebook; elsewhere nothing is shown.

    A program prints only what is its own.
    """
    console = Console()
    return console if console.is_jupyter else Console(quiet=True)
