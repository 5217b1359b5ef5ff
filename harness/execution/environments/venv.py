"""Makes environments with other libraries, and keeps them.

An environment holds only the packages that differ from those of this process; it imports all others
from there. It is made under a temporary name and renamed when it is complete, so a partial one is
never used. One process at a time makes it. Its name contains a digest of all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import SpecError
from harness.execution.environments.installers import install, installer
from harness.execution.environments.interpreter import NEEDED, Libraries, ask, cache_folder

__all__ = ["PYTHON", "OnProgress", "create_linked", "environment_with", "name_of"]

OnProgress = Callable[[str], None]
"""Receives a short message for each step of making an environment."""
_FOLDER = "environments"
_POLL_S = 1.0  # how often a process that waits for another one reports it
_BASE = "base.pth"
PYTHON = Path("bin") / "python"
"""The interpreter of an environment, within its folder."""


def environment_with(
    requirements: Sequence[Requirement], cache: Path | None, on_progress: OnProgress
) -> Libraries:
    """The libraries of an environment in which `requirements` hold. It is made if there is none.

    `cache`: the folder of environments; None: the user's cache. Raises `SpecError` if it cannot be
    made, with the installer's complaint, and leaves nothing behind.
    """
    base = ask(None)
    folder = cache_folder(cache) / _FOLDER
    made = folder / name_of(requirements, base)
    shown = ", ".join(map(str, requirements))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(made, lambda: on_progress(f"{shown}: another process makes this environment")):
            if not (made / PYTHON).exists():  # also if the interpreter that it links to is gone
                shutil.rmtree(made, ignore_errors=True)
                _make(made, requirements, lambda text: on_progress(f"{shown}: {text}"))
    except OSError as error:
        rule = "environments are kept in a folder that can be written"
        raise SpecError(rule, error, "name another with --environments") from None
    libraries = ask(str(made / PYTHON))
    _check(requirements, libraries)
    names = tuple(canonicalize_name(each.name) for each in requirements)
    return replace(libraries, asked=names)


def name_of(requirements: Sequence[Requirement], base: Libraries) -> str:
    """The name of the environment with these requirements on top of `base`."""
    content = {
        "requirements": sorted(str(each) for each in requirements),
        "base": dict(sorted(base.versions.items())),
        "folders": _base_folders(),
        "python": sys.executable,
    }
    digest = hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
    return f"{'-'.join(canonicalize_name(each.name) for each in requirements)[:60]}-{digest}"


def _base_folders() -> list[str]:
    """The folders in which this process finds installed packages, in its order."""
    names = ("site-packages", "dist-packages")
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return [path for path in sys.path if Path(path).name in names or path in own]


@contextmanager
def _locked(made: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Exclude other processes that make the same. The kernel releases the lock of a dead one."""
    lock = FileLock(made.with_suffix(".lock"))
    while True:
        try:
            lock.acquire(timeout=_POLL_S)
            break
        except Timeout:
            on_wait()
    try:
        yield
    finally:
        lock.release()


def _make(made: Path, requirements: Sequence[Requirement], on_progress: OnProgress) -> None:
    chosen = installer()
    partial = made.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        on_progress("venv")
        create_linked(partial)
        texts = list(map(str, requirements))
        needed = _needed_besides(requirements)
        install(chosen, partial / PYTHON, texts, needed, _base_folders(), on_progress)
        partial.rename(made)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def create_linked(folder: Path) -> None:
    """Make an environment that imports all packages of this process, and has none of its own."""
    venv.create(folder, symlinks=True)
    purelib = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    # Processed as the base processes its own, so that what is installed there by a link is too.
    lines = [f"import site; site.addsitedir({each!r})\n" for each in _base_folders()]
    (Path(purelib) / _BASE).write_text("".join(lines), encoding="utf-8")


def _needed_besides(requirements: Sequence[Requirement]) -> list[str]:
    """What a training process needs: installed in the same step, so that all versions fit."""
    named = {canonicalize_name(each.name) for each in requirements}
    return [f"{name}>={old}" if old else name for name, old in NEEDED.items() if name not in named]


def _check(requirements: Sequence[Requirement], libraries: Libraries) -> None:
    """The interpreter imports what was asked for, whatever the installer reported."""
    for each in requirements:
        version = libraries.versions.get(canonicalize_name(each.name))
        if version is None or not each.specifier.contains(version, prereleases=True):
            rule = f"an environment made with {each} has it"
            raise SpecError(rule, f"{each.name} {version}", "remove the folder --environments")
