"""A fresh copy of the repository to run a build in, and stand-ins for what it would install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["REPOSITORY", "fresh_copy", "stand_in", "venv_of_these_tests", "with_first"]

REPOSITORY = Path(__file__).parents[2]
_LEFT_OUT = ("reports/published/", "tests/")


def fresh_copy(target: Path) -> Path:
    """What git would carry of this tree, but for its largest folders; nothing that it ignores."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = REPOSITORY / name
        if not name.startswith(_LEFT_OUT) and source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def stand_in(path: Path, script: str) -> None:
    """A program at `path` that is this bash script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{script}", encoding="utf-8")
    path.chmod(0o755)


def venv_of_these_tests(temp: Path, workspace: Path, harness: str = "") -> Path:
    """The environment that an installing step makes, there already: installs are only noted down.

    `pip install` is written to the file that is returned; any other use of its Python is one of
    the Python of these tests, with the harness of `workspace`. `harness`: a bash script in place of
    the harness; where it ends without exiting, the real one goes on.
    """
    noted = temp / "pip.txt"
    bins = temp / "harness-venv" / "bin"
    real = f'export PYTHONPATH="{workspace}"\nexec "{sys.executable}"'
    stand_in(
        bins / "python",
        f'if [ "$1 $2" = "-m pip" ]; then\n  shift 2\n  printf "%s\\n" "$*" >>"{noted}"\n'
        f'  exit 0\nfi\n{real} "$@"\n',
    )
    stand_in(bins / "harness", f'{harness}\n{real} -m harness "$@"\n')
    return noted


def with_first(path: Path) -> dict[str, str]:
    """An environment in which programs are looked for in `path` first."""
    return {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
