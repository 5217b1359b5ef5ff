"""What `--with` asks for: requirements that make one environment. Nothing is looked up."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.errors import SpecError

__all__ = ["parse", "requirement"]

_BEGINS_A_VERSION = re.compile(r"\s*[<>=!~]")


def parse(text: str, direct: bool = False) -> tuple[Requirement, ...]:
    """The requirements in `text`, sorted by name; they are separated by commas or semicolons.

    A comma before a comparison belongs to its requirement: 'transformers>=5,<5.20, torch==2.11.*'
    are two. `direct`: also those of the form NAME @ URL, whose code comes from anywhere. Raises
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
    found = [requirement(part, direct) for part in parts]
    if not found:
        raise SpecError("--with takes requirements", repr(text), "write transformers==4.57.*")
    names = [canonicalize_name(each.name) for each in found]
    if len(set(names)) < len(names):
        raise SpecError("--with names each package once", repr(text), "join what it says of one")
    return tuple(sorted(found, key=lambda each: canonicalize_name(each.name)))


def requirement(text: str, direct: bool = False) -> Requirement:
    """One of them. Raises `SpecError`."""
    remedy = "write for example transformers==4.57.*"
    try:
        found = Requirement(text.strip())
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise SpecError("--with takes requirements", f"{text.strip()!r}: {why}", remedy) from None
    if found.url is not None and not direct:
        raise SpecError(
            "--with takes packages of the index, and runs no code from elsewhere",
            repr(text.strip()),
            f"{remedy}, or allow it by --direct-references",
        )
    return found
