"""Installs requirements into an environment: with uv if it is on the PATH, with pip otherwise.

For both, the packages of this process count as installed, so only what differs is installed. pip
finds those packages on its path. uv looks only in the new environment, so copies of their metadata
are placed there while it runs.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from harness.errors import SpecError

__all__ = ["install", "installer"]

_UV = "uv"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color")
_PROGRESS = ("Collecting", "Processing", "Downloading", "Building", "Installing", "Resolved")
"""First words of the lines in which pip or uv reports what it does."""
_STAND_IN = "harness"
"""The installer that a copy of metadata names."""
_UV_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "constraint": "UV_CONSTRAINT",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
}
"""Settings of pip, and the variables by which uv takes the same."""
_PATIENCE_S = 60.0


def installer() -> str:
    """The path of uv, or else `pip`. Raises `SpecError` if neither is installed."""
    found = shutil.which(_UV)
    if found is not None:
        return found
    # A search for the module itself would have setuptools withdraw its distutils in this process.
    if not any(distributions(name="pip")):
        raise SpecError(
            "--with makes environments with uv or pip",
            "neither is installed",
            "run python -m ensurepip",
        )
    return "pip"


def install(
    chosen: str,
    python: Path,
    requirements: Sequence[str],
    needed: Sequence[str],
    base: Sequence[str],
    on_progress: Callable[[str], None],
) -> None:
    """Install `requirements` and `needed`, in one step, for the interpreter `python`.

    `chosen`: what `installer` returned. `base`: the folders of packages that `python` finds besides
    its own. Raises `SpecError` with the installer's first complaint about `requirements`.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    stand_ins: AbstractContextManager[None] = nullcontext()
    if chosen == "pip":
        command = [str(python), "-P", *_PIP, "install", "--no-compile", *requirements, *needed]
    else:
        command = [chosen, "pip", "install", "--python", str(python), "--no-progress"]
        command += ["--color", "never", *requirements, *needed]
        variables = {**_uv_settings(_pip_settings()), **variables}
        stand_ins = _base_metadata(base, _site_packages(python))
    with stand_ins:
        complaint = _run(command, variables, on_progress)
    if complaint is not None:
        raise SpecError(
            f"{Path(chosen).name} can install {', '.join(requirements)} here",
            complaint,
            "ask for versions that the index has, or check whether it can be reached",
        )


def _run(
    command: Sequence[str], variables: Mapping[str, str], on_progress: Callable[[str], None]
) -> str | None:
    """Run an installer; if it fails, return its first complaint."""
    name = "uv" if command[1] == "pip" else "pip"
    complaint = last = ""
    with subprocess.Popen(
        command,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                text = line.strip()
                complaint = complaint or _complaint(text)
                if text.partition(" ")[0] in _PROGRESS:
                    on_progress(f"{name}: {text[:100]}")
                last = text or last
            code = process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it may have started
            raise
    return None if code == 0 else complaint or last


def _complaint(text: str) -> str:
    """What a line of an installer states as wrong: the first such line has the reason."""
    for prefix in ("ERROR:", "cause:"):
        reason = text.removeprefix(prefix).strip()
        if reason != text and not reason.startswith("Ignored"):
            return reason
    return ""


def _pip_settings() -> dict[str, str]:
    """The settings of pip here, from its files and variables; none if there is no pip."""
    try:
        done = subprocess.run(
            [sys.executable, *_PIP, "config", "list"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in done.stdout.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        if section in found:
            with suppress(ValueError, SyntaxError):
                found[section][name] = str(ast.literal_eval(value))
    return {**found["global"], **found["install"], **found[":env:"]}


def _uv_settings(of_pip: Mapping[str, str]) -> dict[str, str]:
    """Variables by which uv uses the same index and constraints as pip."""
    found = {variable: of_pip.get(name, "") for name, variable in _UV_VARIABLES.items()}
    found["UV_FIND_LINKS"] = ",".join(found["UV_FIND_LINKS"].split())
    # pip takes the best version of all indexes; by default uv takes the first index that has any.
    found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {variable: " ".join(value.split()) for variable, value in found.items() if value.strip()}


@contextmanager
def _base_metadata(base: Iterable[str], site_packages: Path) -> Iterator[None]:
    """Copies of the metadata in `base`, which name no file but their own.

    What is upgraded in the meantime loses its copy; the others are removed at the end.
    """
    made = []
    for distribution in distributions(path=list(base)):
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
        if not text:
            continue
        name = canonicalize_name(distribution.name).replace("-", "_")
        folder = site_packages / f"{name}-{distribution.version}.dist-info"
        with suppress(FileExistsError):  # the first of two in `base` is the one that is imported
            folder.mkdir()
            files = {"METADATA": text, "INSTALLER": f"{_STAND_IN}\n", "RECORD": ""}
            files["RECORD"] = "".join(f"{folder.name}/{each},,\n" for each in files)
            for file, content in files.items():
                (folder / file).write_text(content, encoding="utf-8")
            made.append(folder)
    try:
        yield
    finally:
        for folder in made:
            with suppress(FileNotFoundError):
                if (folder / "INSTALLER").read_text(encoding="utf-8").strip() == _STAND_IN:
                    shutil.rmtree(folder)


def _site_packages(python: Path) -> Path:
    (found,) = (python.parent.parent / "lib").glob("python*/site-packages")
    return found
