"""The versions of a package that pip can install here, as pip reports them from its index."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from harness.errors import SpecError, unknown_name

__all__ = ["Releases", "between", "released"]

_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Releases:
    """Final releases that were not withdrawn, the oldest first."""

    fitting: tuple[str, ...]
    unfit: tuple[str, ...]
    """Those that this Python or platform is not meant for."""


def released(package: str) -> Releases:
    """The versions of `package` in the index that pip is set up for. Raises `SpecError`."""
    fitting = _asked(package)
    every = _asked(package, "--ignore-requires-python")
    return Releases(fitting, tuple(text for text in every if text not in fitting))


def _asked(package: str, *more: str) -> tuple[str, ...]:
    # pip leaves out what is a pre-release or was yanked.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "index"]
    remedy = "check its name, and whether pip reaches its index"
    try:
        told = subprocess.run(
            [*pip, "versions", *more, "--json", "--", package],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        texts = [str(text) for text in json.loads(told.stdout)["versions"]]
        return tuple(sorted(texts, key=Version))
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or str(error)
        errors = [line for line in words.splitlines() if "ERROR" in line] or words.splitlines()[-1:]
        rule = f"pip knows the releases of {package}"
        raise SpecError(rule, errors[0].strip() if errors else "nothing", remedy) from None
    except (ValueError, KeyError, TypeError) as error:
        rule = "pip tells of releases as JSON (pip 25.1 or later)"
        raise SpecError(rule, error, "update pip here") from None


def between(versions: tuple[str, ...], good: str, bad: str) -> list[str]:
    """The versions from `good` to `bad`, in the order of release numbers. Raises `SpecError`."""
    known = {Version(text): text for text in versions}
    found = []
    for name, text in (("--good", good), ("--bad", bad)):
        try:
            version = Version(text)
        except InvalidVersion as error:
            raise SpecError(f"{name} takes a version", error, "write for example 5.23.0") from None
        if version not in known:
            newest_first = [known[each] for each in sorted(known, reverse=True)]
            raise unknown_name(f"released version for {name}", text, newest_first)
        found.append(version)
    low, high = sorted(found)
    if low == high:
        raise SpecError("a bisection is between two versions", good, "name another --bad")
    inside = [known[each] for each in sorted(known) if low <= each <= high]
    return inside if found[0] == low else inside[::-1]
