"""The versions of a package that pip can install here, as pip reports them from its index."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions

from packaging.version import InvalidVersion, Version

from harness.errors import SpecError, unknown_name

__all__ = ["Releases", "between", "released"]

_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Releases:
    """Final releases that are not yanked, the oldest first."""

    fitting: tuple[str, ...]
    unfit: tuple[str, ...]
    """Releases that do not support this Python or platform."""


def released(package: str) -> Releases:
    """The versions of `package` in the index that pip uses. Raises `SpecError`."""
    if not any(distributions(name="pip")):
        rule = "pip lists the releases of a package"
        raise SpecError(
            rule, "pip is not installed", "run python -m ensurepip, or uv pip install pip"
        )
    fitting = _query(package)
    every = _query(package, "--ignore-requires-python")
    return Releases(fitting, tuple(text for text in every if text not in fitting))


def _query(package: str, *options: str) -> tuple[str, ...]:
    # pip leaves out pre-releases and yanked releases.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "index"]
    remedy = "check its name, and whether pip reaches its index"
    try:
        answer = subprocess.run(
            [*pip, "versions", *options, "--json", "--", package],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        texts = [str(text) for text in json.loads(answer.stdout)["versions"]]
        return tuple(sorted(texts, key=Version))
    except (OSError, subprocess.SubprocessError) as error:
        lines = (getattr(error, "stderr", None) or str(error)).splitlines()
        errors = [line for line in lines if "ERROR" in line] or lines[-1:]
        rule = f"pip lists the releases of {package}"
        raise SpecError(rule, errors[0].strip() if errors else "no output", remedy) from None
    except (ValueError, KeyError, TypeError) as error:
        rule = "pip lists releases as JSON (pip 25.1 or later)"
        raise SpecError(rule, error, "update pip in this environment") from None


def between(versions: tuple[str, ...], good: str, bad: str) -> list[str]:
    """The versions from `good` to `bad`, in the order of their numbers. Raises `SpecError`."""
    known = {Version(text): text for text in versions}
    ends = []
    for name, text in (("--good", good), ("--bad", bad)):
        try:
            version = Version(text)
        except InvalidVersion as error:
            raise SpecError(f"{name} takes a version", error, "write for example 5.23.0") from None
        if version not in known:
            newest_first = [known[each] for each in sorted(known, reverse=True)]
            raise unknown_name(f"released version for {name}", text, newest_first)
        ends.append(version)
    low, high = sorted(ends)
    if low == high:
        raise SpecError("a bisection is between two versions", good, "name another --bad")
    inside = [known[each] for each in sorted(known) if low <= each <= high]
    return inside if ends[0] == low else inside[::-1]
