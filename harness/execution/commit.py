"""The commits of this package and of the user's repository, for the environment of a record."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

__all__ = ["find_commit", "find_repository", "git"]

_PATIENCE_S = 10.0


def find_commit() -> str | None:
    """The commit of the checkout of this package, with '+' if files differ from it."""
    where = Path(__file__).parents[1]
    commit = git(where, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = git(where, "status", "--porcelain", "--", str(where))
    return None if changed is None else commit + ("+" if changed else "")


def find_repository(folder: Path) -> dict[str, Any]:
    """The state of the git repository of a folder; empty if it is in none, or without a commit.

    `commit`; `branch`, which is None if none is checked out; `changed`: whether files that git
    tracks differ from the commit.
    """
    commit = git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return {}
    branch = git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    changed = git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": None if branch == "HEAD" else branch,
        "changed": bool(changed),
    }


def git(folder: Path, *words: str) -> str | None:
    """What git prints for a folder; None if it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
