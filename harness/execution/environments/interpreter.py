"""The libraries of an interpreter: queried, compared with what training needs, and named.

The queried interpreter imports only the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version
from platformdirs import user_cache_path

from harness.errors import SpecError

__all__ = [
    "NEEDED",
    "Libraries",
    "ask",
    "cache_folder",
    "check_training_libraries",
    "differing",
    "linked_package",
    "names_of",
]

NEEDED: Mapping[str, str] = {
    "accelerate": "",
    "datasets": "",
    "evaluate": "",
    "filelock": "",
    "huggingface-hub": "",
    "numpy": "",
    "packaging": "",
    "pandas": "",
    "platformdirs": "",
    "pyarrow": "",
    "pydantic": "2",
    "scikit-learn": "",
    "torch": "2.8",
    "transformers": "4.57",
    "xxhash": "",
}
"""What a training process imports, with the oldest version that was tried."""
_MODULES = {"huggingface-hub": "huggingface_hub", "scikit-learn": "sklearn"}
"""Modules whose name differs from that of their distribution."""
_OLDEST_PYTHON = "3.11"
_NAMING = ("python", "torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")
"""The packages whose versions name an environment, unless others were requested."""
_MAX_NAMES = 3
_TIMEOUT_S = 120.0
_CACHE_VARIABLE = "HARNESS_CACHE"
_QUERY = """
import importlib.metadata, json, platform
packages = {}
for distribution in importlib.metadata.distributions():
    name = distribution.metadata["Name"]
    if name:
        packages.setdefault(name, distribution.version)
print(json.dumps({"python": platform.python_version(), "packages": packages}))
"""


@dataclass(frozen=True)
class Libraries:
    """An interpreter and the packages that it imports."""

    python: str | None
    """The path of the interpreter; None: the interpreter of this process."""
    versions: Mapping[str, str]
    """The version of each package, by normalized name, and of `python` itself."""
    asked: tuple[str, ...] = ()
    """The packages that the user requested."""


def check_training_libraries() -> None:
    """Raise `SpecError` if this interpreter lacks what a training process imports."""
    missing = [name for name in NEEDED if find_spec(_MODULES.get(name, name)) is None]
    if missing:
        raise SpecError(
            "a command that trains needs the extra 'train'",
            f"missing: {', '.join(missing)}",
            "pip install 'trainloop-harness[train]'",
        )


def ask(python: str | None) -> Libraries:
    """The libraries of an interpreter; None: of this one.

    Raises `SpecError` if `python` is not an interpreter, or lacks what training needs.
    """
    path = _path(python) if python is not None else sys.executable
    try:
        answer = subprocess.run(
            [path, "-P", "-c", _QUERY],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            check=True,
        )
        facts = json.loads(answer.stdout)
        versions: dict[str, str] = {"python": facts["python"]}
        versions |= {canonicalize_name(name): text for name, text in facts["packages"].items()}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        output = getattr(error, "stderr", None) or str(error)
        last = output.strip().splitlines()[-1:] or [type(error).__name__]
        rule = f"--python takes an interpreter of Python {_OLDEST_PYTHON} or later"
        raise SpecError(rule, f"{python or path}: {last[0]}", "pass the path of one") from None
    if python is not None:
        _check(python, versions)
    return Libraries(None if python is None else path, versions)


def _path(python: str) -> str:
    """The absolute path. Links are kept: a link to an interpreter makes a virtual environment."""
    path = shutil.which(python)
    if path is None:
        raise SpecError("--python takes an interpreter", python, "pass the path of its python")
    return str(Path(path).absolute())


def _check(python: str, versions: Mapping[str, str]) -> None:
    problems = [
        f"{name} is missing" if name not in versions else f"{name} {versions[name]} is too old"
        for name, oldest in {"python": _OLDEST_PYTHON, **NEEDED}.items()
        if name not in versions
        or (oldest and Version(versions[name]).release < Version(oldest).release)
    ]
    if problems:
        needed = [f"{name}>={oldest}" if oldest else name for name, oldest in NEEDED.items()]
        raise SpecError(
            "an interpreter needs what a training process imports",
            f"{python}: {', '.join(problems)}",
            f"install there: {' '.join(needed)}",
        )


def differing(sets: Sequence[Libraries]) -> dict[str, tuple[str | None, ...]]:
    """The packages whose versions differ: the version in each set, None where it is absent."""
    names = sorted({name for libraries in sets for name in libraries.versions})
    rows = {name: tuple(libraries.versions.get(name) for libraries in sets) for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}


def names_of(sets: Sequence[Libraries]) -> list[str]:
    """A name for each set: the versions of the requested packages, or of those that differ.

    Sets with equal names are numbered.
    """
    different = differing(sets)
    requested = dict.fromkeys(name for libraries in sets for name in libraries.asked)
    naming: Iterable[str] = requested or [name for name in _NAMING if name in different]
    packages = list(naming) or list(different)[:_MAX_NAMES] or ["transformers"]
    names: list[str] = []
    for libraries in sets:
        text = ", ".join(f"{name} {libraries.versions.get(name, 'absent')}" for name in packages)
        number = sum(each == text or each.startswith(f"{text} (") for each in names)
        names.append(f"{text} ({number + 1})" if number else text)
    return names


def cache_folder(chosen: Path | None = None) -> Path:
    """The folder of environments: `chosen`, or $HARNESS_CACHE, or the user's cache."""
    variable = os.environ.get(_CACHE_VARIABLE)
    return chosen or (Path(variable) if variable else user_cache_path("trainloop-harness"))


def linked_package() -> Path:
    """A folder in which another interpreter finds this package alone.

    If this package is installed beside others, the interpreter must not import those.
    """
    package = Path(__file__).parents[2]
    digest = hashlib.blake2b(str(package).encode(), digest_size=8).hexdigest()
    folder = cache_folder() / f"package-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # another process made it, or an earlier one
        (folder / package.name).symlink_to(package, target_is_directory=True)
    return folder
