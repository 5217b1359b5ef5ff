"""Names of folders for tests."""

from __future__ import annotations

import hashlib
import re

__all__ = ["folder_name"]

_LONGEST = 100


def folder_name(name: str) -> str:
    """The name of a test as that of a folder: different names stay different."""
    short = re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-.")[:_LONGEST]
    if short == name:
        return name
    return f"{short}-{hashlib.blake2b(name.encode(), digest_size=3).hexdigest()}"
