"""The commit of this package, as part of the environment of a record."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["find_commit"]


def find_commit() -> str | None:
    """The commit of the checkout of this package, with '+' if files differ from it."""
    where = Path(__file__).parents[1]
    git = ["git", "-C", str(where)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", str(where)],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
