"""Makes environments with other libraries, by venv and pip, and keeps them.

An environment holds what differs from the one that this process runs in; all else it takes from
there. It is made under another name and gets its own when it is whole, so that a half-made one is
never used; one process at a time makes it. Its name is a digest of all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import SpecError
from harness.execution.environments.interpreter import NEEDED, Libraries, ask, cache_folder

__all__ = ["Say", "environment_with", "name_of"]

Say = Callable[[str], None]
"""Hears in a few words how far the making has come."""
_FOLDER = "environments"
_LOOK_S = 1.0  # how often one that waits for another process says so
_BASE = "base.pth"
_TELLING = ("Collecting", "Processing", "Downloading", "Building", "Installing")
"""How lines of pip begin that say what it does now."""
_PYTHON = Path("bin") / "python"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color")


def environment_with(
    requirements: Sequence[Requirement], cache: Path | None, say: Say
) -> Libraries:
    """The libraries of an environment in which `requirements` hold, made where there is none.

    `cache`: where environments are kept; None: in the user's cache. Raises `SpecError` where it
    cannot be made, with pip's last words and nothing left behind.
    """
    base = ask(None)
    folder = cache_folder(cache) / _FOLDER
    made = folder / name_of(requirements, base)
    shown = ", ".join(map(str, requirements))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(made, lambda: say(f"{shown}: another process makes this environment")):
            if not (made / _PYTHON).exists():  # also where what it links to has gone
                shutil.rmtree(made, ignore_errors=True)
                _make(made, requirements, lambda word: say(f"{shown}: {word}"))
    except OSError as error:
        rule = "environments are kept in a folder to write in"
        raise SpecError(rule, error, "name another by --environments") from None
    found = ask(str(made / _PYTHON))
    _check(requirements, found)
    names = tuple(canonicalize_name(each.name) for each in requirements)
    return replace(found, asked=names)


def name_of(requirements: Sequence[Requirement], base: Libraries) -> str:
    """Of the environment with these requirements over that one."""
    told = {
        "requirements": sorted(str(each) for each in requirements),
        "base": dict(sorted(base.versions.items())),
        "folders": _base_folders(),
        "python": sys.executable,
    }
    digest = hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
    return f"{'-'.join(canonicalize_name(each.name) for each in requirements)[:60]}-{digest}"


def _base_folders() -> list[str]:
    """Where this process finds installed packages, in its order."""
    names = ("site-packages", "dist-packages")
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return [path for path in sys.path if Path(path).name in names or path in own]


@contextmanager
def _alone(made: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """While no other process makes the same. The lock is the kernel's and ends with its holder."""
    lock = FileLock(made.with_suffix(".lock"))
    while True:
        try:
            lock.acquire(timeout=_LOOK_S)
            break
        except Timeout:
            on_wait()
    try:
        yield
    finally:
        lock.release()


def _make(made: Path, requirements: Sequence[Requirement], say: Say) -> None:
    # To look for the module itself would have setuptools withdraw its distutils in this process.
    if not any(distributions(name="pip")):
        rule = "--with makes environments by pip"
        raise SpecError(rule, "none here", "run python -m ensurepip")
    partial = made.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        say("venv")
        venv.create(partial, symlinks=True)
        purelib = sysconfig.get_path("purelib", "venv", {"base": str(partial)})
        # Processed as the base processes its own, so that what is installed there by a link is too.
        lines = [f"import site; site.addsitedir({folder!r})\n" for folder in _base_folders()]
        (Path(purelib) / _BASE).write_text("".join(lines), encoding="utf-8")
        _install(partial / _PYTHON, requirements, say)
        partial.rename(made)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _install(python: Path, requirements: Sequence[Requirement], say: Say) -> None:
    """By pip, together with what a training process needs, so that all fit to each other."""
    named = {canonicalize_name(each.name) for each in requirements}
    rest = [f"{name}>={old}" if old else name for name, old in NEEDED.items() if name not in named]
    command = [str(python), "-P", *_PIP, "install", *map(str, requirements), *rest]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    complaint = last = ""
    with subprocess.Popen(
        command,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as pip:
        try:
            assert pip.stdout is not None
            for line in pip.stdout:
                word = line.strip()
                told = word.removeprefix("ERROR:").strip()
                if word != told and not complaint and not told.startswith("Ignored"):
                    complaint = told  # the first is what is wrong, others follow from it
                if word.partition(" ")[0] in _TELLING:
                    say(f"pip: {word[:100]}")
                last = word or last
            code = pip.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(pip.pid, signal.SIGKILL)  # with what it may have started
            raise
    if code:
        raise SpecError(
            f"pip can install {', '.join(map(str, requirements))} here",
            complaint or last,
            "ask for versions that the index has, or see whether it can be reached",
        )


def _check(requirements: Sequence[Requirement], found: Libraries) -> None:
    """What was asked for is what the interpreter imports, whatever pip said."""
    for each in requirements:
        version = found.versions.get(canonicalize_name(each.name))
        if version is None or not each.specifier.contains(version, prereleases=True):
            rule = f"an environment made with {each} has it"
            raise SpecError(rule, f"{each.name} {version}", "remove the folder --environments")
