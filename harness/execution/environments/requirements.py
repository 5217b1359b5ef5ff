"""Reads the value of `--with`: the requirements of one environment. No index is queried."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.errors import SpecError

__all__ = ["parse", "requirement"]

_BEGINS_A_VERSION = re.compile(r"\s*[<>=!~]")


def parse(text: str, direct: bool = False) -> tuple[Requirement, ...]:
    """The requirements in `text`, which commas or semicolons separate, sorted by name.

    A comma before a comparison belongs to its requirement: 'transformers>=5,<5.20, torch==2.11.*'
    holds two. `direct`: accept also the form NAME @ URL, whose code comes from any place. Raises
    `SpecError`.
    """
    parts: list[str] = []
    for part in re.split(r"([,;])", text):
        opened = parts and parts[-1].count("[") > parts[-1].count("]")
        if part in ",;":
            continue
        if parts and (opened or _BEGINS_A_VERSION.match(part)):
            parts[-1] += f",{part}"
        elif part.strip():
            parts.append(part)
    requirements = [requirement(part, direct) for part in parts]
    if not requirements:
        raise SpecError("--with takes requirements", repr(text), "write transformers==4.57.*")
    names = [canonicalize_name(each.name) for each in requirements]
    if len(set(names)) < len(names):
        raise SpecError(
            "--with names each package once", repr(text), "join its comparisons with commas"
        )
    return tuple(sorted(requirements, key=lambda each: canonicalize_name(each.name)))


def requirement(text: str, direct: bool = False) -> Requirement:
    """A single requirement. Raises `SpecError`."""
    remedy = "write for example transformers==4.57.*"
    try:
        parsed = Requirement(text.strip())
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        value = f"{text.strip()!r}: {reason}"
        raise SpecError("--with takes requirements", value, remedy) from None
    if parsed.url is not None and not direct:
        raise SpecError(
            "--with takes only packages from the index",
            repr(text.strip()),
            f"{remedy}, or pass --direct-references",
        )
    return parsed
