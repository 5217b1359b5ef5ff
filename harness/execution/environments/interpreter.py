"""Which libraries an interpreter has: asked of it, held against what is needed here, and named.

Nothing is imported by the interpreter that is asked but what Python brings itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
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
    "slug",
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
    "psutil": "",
    "pyarrow": "",
    "pydantic": "2",
    "scikit-learn": "",
    "torch": "2.8",
    "transformers": "4.57",
    "xxhash": "",
}
"""What a training process imports, and from which version on; others were not tried."""
_MODULES = {"huggingface-hub": "huggingface_hub", "scikit-learn": "sklearn"}
"""Modules that are not called as their distribution is."""
_OLDEST_PYTHON = "3.11"
_TELLING = ("python", "torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")
"""By which an environment is named where nobody asked for others."""
_FEW = 3
_PATIENCE_S = 120.0
_VARIABLE = "HARNESS_CACHE"
_QUESTION = """
import importlib.metadata, json, platform
found = {}
for each in importlib.metadata.distributions():
    name = each.metadata["Name"]
    if name:
        found.setdefault(name, each.version)
print(json.dumps({"python": platform.python_version(), "packages": found}))
"""


@dataclass(frozen=True)
class Libraries:
    """An interpreter, and what it imports."""

    python: str | None
    """Its path; None: the interpreter of this process."""
    versions: Mapping[str, str]
    """Of each package by its normalised name, and of `python` itself."""
    asked: tuple[str, ...] = ()
    """The packages that somebody asked for."""


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
    """The libraries of an interpreter. Raises `SpecError` where it is none, or lacks some."""
    path = _path(python) if python is not None else sys.executable
    try:
        told = subprocess.run(
            [path, "-P", "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            check=True,
        )
        facts = json.loads(told.stdout)
        versions: dict[str, str] = {"python": facts["python"]}
        versions |= {canonicalize_name(name): text for name, text in facts["packages"].items()}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        words = getattr(error, "stderr", None) or str(error)
        last = words.strip().splitlines()[-1:] or [type(error).__name__]
        rule = f"--python takes an interpreter of Python {_OLDEST_PYTHON} or later"
        raise SpecError(rule, f"{python or path}: {last[0]}", "pass the path of one") from None
    if python is not None:
        _check(python, versions)
    return Libraries(None if python is None else path, versions)


def _path(python: str) -> str:
    """Not resolved: a link to an interpreter is what makes a virtual environment."""
    found = shutil.which(python)
    if found is None:
        raise SpecError("--python takes an interpreter", python, "pass the path of its python")
    return str(Path(found).absolute())


def _check(python: str, versions: Mapping[str, str]) -> None:
    wrong = [
        f"{name} is missing" if name not in versions else f"{name} {versions[name]} is too old"
        for name, oldest in {"python": _OLDEST_PYTHON, **NEEDED}.items()
        if name not in versions
        or (oldest and Version(versions[name]).release < Version(oldest).release)
    ]
    if wrong:
        needed = [f"{name}>={oldest}" if oldest else name for name, oldest in NEEDED.items()]
        raise SpecError(
            "an interpreter needs what a training process imports",
            f"{python}: {', '.join(wrong)}",
            f"install there: {' '.join(needed)}",
        )


def differing(sides: Sequence[Libraries]) -> dict[str, tuple[str | None, ...]]:
    """By package, its version on each side, of those that are not the same on all; None: absent."""
    names = sorted({name for side in sides for name in side.versions})
    rows = {name: tuple(side.versions.get(name) for side in sides) for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}


def names_of(sides: Sequence[Libraries]) -> list[str]:
    """What each is called for a reader: the packages asked for, or those that tell them apart.

    Two that cannot be told apart are numbered.
    """
    apart = differing(sides)
    asked = dict.fromkeys(name for side in sides for name in side.asked)
    named: Iterable[str] = asked or [name for name in _TELLING if name in apart]
    names = list(named) or list(apart)[:_FEW] or ["transformers"]
    found: list[str] = []
    for side in sides:
        parts = [f"{name} {side.versions.get(name, 'absent')}" for name in names]
        text = ", ".join(parts)
        number = sum(each == text or each.startswith(f"{text} (") for each in found)
        found.append(f"{text} ({number + 1})" if number else text)
    return found


def slug(name: str) -> str:
    """Such a name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def cache_folder(chosen: Path | None = None) -> Path:
    """Where environments are kept: `chosen`, or what the variable says, or the user's cache."""
    told = os.environ.get(_VARIABLE)
    return chosen or (Path(told) if told else user_cache_path("trainloop-harness"))


def linked_package() -> Path:
    """A folder in which an interpreter finds this package and nothing else that lies beside it.

    Where this package is installed among others, these others are not to come with it.
    """
    package = Path(__file__).parents[2]
    digest = hashlib.blake2b(str(package).encode(), digest_size=8).hexdigest()
    folder = cache_folder() / f"package-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # by another process, or long since
        (folder / package.name).symlink_to(package, target_is_directory=True)
    return folder
