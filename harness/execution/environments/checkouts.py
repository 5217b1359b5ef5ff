"""The user's repository at another commit, beside its working tree.

The commit is checked out as a worktree of git in a temporary folder, which is removed at the end.
The working tree is used as it is. Each of the two is first on the path of its processes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.execution.commit import find_repository, git
from harness.execution.environments.interpreter import Libraries, ask
from harness.execution.environments.variants import LibrarySet
from harness.execution.environments.venv import PYTHON, OnProgress, create_linked

__all__ = ["Checkout", "checkouts"]

_DIGITS = 8


@dataclass(frozen=True)
class Checkout:
    """The files of one commit, or of the working tree."""

    label: str
    """A short name, which is valid in a file name."""
    name: str
    """Its commit, and for the working tree its branch, as a reader knows them."""
    folder: Path
    """The folder that corresponds to the one in which the harness was started."""
    variables: dict[str, str]
    """The environment variables of its processes."""
    libraries: Libraries

    @property
    def python(self) -> str:
        """Its interpreter."""
        return self.libraries.python or sys.executable

    @property
    def library_set(self) -> LibrarySet:
        """Its libraries, with its name."""
        return LibrarySet(self.name, self.libraries)


@contextmanager
def checkouts(
    reference: str, install: str | None, on_progress: OnProgress
) -> Iterator[tuple[Checkout, Checkout]]:
    """The commit that `reference` names, and the working tree of the current folder.

    `install`: a command that installs the repository at that commit, in an environment of its own
    which imports the current packages too; None: the current interpreter. Raises `SpecError` if
    there is no such commit or the command fails.
    """
    here = Path.cwd()
    root, prefix = (
        git(here, "rev-parse", "--show-toplevel"),
        git(here, "rev-parse", "--show-prefix"),
    )
    if root is None or prefix is None:
        raise SpecError("--against compares commits of a git repository", here, "go into one")
    known = None if reference.startswith("-") else f"{reference}^{{commit}}"
    commit = None if known is None else git(here, "rev-parse", "--verify", known)
    if commit is None:
        raise SpecError(
            "--against takes a commit, branch or tag of this repository",
            repr(reference),
            "see git log",
        )
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        tree = Path(scratch).resolve() / "tree"
        on_progress(f"git worktree of {reference}")
        try:
            _run(["git", "-C", root, "worktree", "add", "--detach", str(tree), commit], here, None)
            if not (tree / prefix).is_dir():
                rule = f"the current folder exists at {reference}"
                raise SpecError(rule, f"{prefix} is missing there", "start from the root")
            variables, libraries = _with_path(tree, tree / prefix), ask(None)
            if install is not None:
                environment = Path(scratch).resolve() / "environment"
                on_progress(f"{install}, at {reference}")
                variables = _installed(install, environment, tree, variables)
                libraries = ask(str(environment / PYTHON))
            then = Checkout(
                _label(reference),
                f"{reference} ({commit[:_DIGITS]})" if reference != commit else commit[:_DIGITS],
                tree / prefix,
                variables,
                libraries,
            )
            yield then, Checkout("now", _state(here), here, _with_path(Path(root), here), ask(None))
        finally:
            git(Path(root), "worktree", "remove", "--force", str(tree))
            shutil.rmtree(tree, ignore_errors=True)
            git(Path(root), "worktree", "prune")


def _state(here: Path) -> str:
    """The working tree in words."""
    state = find_repository(here)
    branch = f"{state['branch']}, " if state.get("branch") else ""
    changed = ", with changes" if state.get("changed") else ""
    return f"working tree ({branch}{state['commit'][:_DIGITS]}{changed})"


def _label(reference: str) -> str:
    """A name of the commit for files and tables."""
    label = "".join(c if c.isalnum() or c in "._" else "-" for c in reference).strip("._-")
    return label if label and label not in ("now", "control") else "then"


def _with_path(root: Path, folder: Path) -> dict[str, str]:
    """This process's variables, with the modules of a checkout before all others."""
    places = dict.fromkeys(map(str, (folder, root, root / "src")))
    present = [place for place in places if Path(place).is_dir()]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [*present, os.environ.get("PYTHONPATH")])),
    }


def _installed(
    install: str, environment: Path, tree: Path, variables: dict[str, str]
) -> dict[str, str]:
    """Run the command `install` in a new environment; the variables with which that is used."""
    words = shlex.split(install)
    if not words:
        raise SpecError("--install takes a command", repr(install), 'write "pip install -e ."')
    create_linked(environment)
    binaries = str((environment / PYTHON).parent)
    found = {
        **variables,
        "PATH": os.pathsep.join([binaries, variables.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(environment),
    }
    if words[0] == "pip":  # that of the environment has no script of its own
        uv = shutil.which("uv")
        words[:1] = [uv, "pip"] if uv is not None else [str(environment / PYTHON), "-m", "pip"]
    _run(words, tree, found)
    return found


def _run(words: Sequence[str], folder: Path, variables: dict[str, str] | None) -> None:
    """Run a command to its end. Raises `SpecError` with its last line if it fails."""
    path = None if variables is None else variables["PATH"]
    program = shutil.which(words[0], path=path) or words[0]
    try:
        done = subprocess.run(
            [program, *words[1:]],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        complaint = (done.stderr or done.stdout).strip().splitlines()[-1:]
        failed = done.returncode != 0
    except OSError as error:
        failed, complaint = True, [str(error)]
    if failed:
        last = complaint[0] if complaint else "no output"
        raise SpecError(f"{shlex.join(words)} succeeds", last, "run it by hand")
