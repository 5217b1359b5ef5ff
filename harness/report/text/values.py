"""Values of recipes, settings and divergences as short texts."""

from __future__ import annotations

import re
from typing import Any

from harness.units import counted, number

__all__ = ["capitalized", "distinct", "is_digest", "module_name", "setting_text", "shown"]

_DIGEST = re.compile(r"[0-9a-f]{16}")
_DIGITS = 8  # of a digest that are shown


def shown(value: Any) -> str:
    """A value of a divergence or a recipe; long lists are cut."""
    if isinstance(value, float):
        return number(value, 9)
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)) and value and all(map(is_digest, value)):
        return f"{counted(len(value), 'row')}, by their digests"
    if isinstance(value, (list, tuple)):
        parts = [shown(part) for part in value[:12]]
        return "[" + ", ".join(parts + (["..."] if len(value) > 12 else [])) + "]"
    if is_digest(value):
        return f"digest {value[:_DIGITS]}…"
    return "none" if value is None else str(value)


def is_digest(value: Any) -> bool:
    """Whether a value is the digest of a tensor or a state, which tells a reader only that it
    differs."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def distinct(one: float, two: float) -> tuple[str, str]:
    """Two numbers with four digits, or with as many more, up to nine, as show a difference."""
    enough = (n for n in range(4, 9) if one == two or number(one, n) != number(two, n))
    digits = next(enough, 9)
    return number(one, digits), number(two, digits)


def setting_text(value: Any) -> str:
    """A setting; of a list of parameters its length and the first."""
    if value is None:
        return "not set"
    if isinstance(value, dict) and "at" in value and "steps" in value:
        rates = list(value["at"].values())
        return f"{value['steps']} steps, {number(rates[0])} to {number(rates[-1])}"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_counted(part)}" for key, part in value.items()) or "none"
    return _counted(value)


def _counted(value: Any) -> str:
    if isinstance(value, list) and len(value) > 2 and all(isinstance(v, str) for v in value):
        return f"{len(value)}, first {value[0]}"
    if isinstance(value, list):
        return ", ".join(map(_counted, value)) or "none"
    return number(value) if isinstance(value, float) else str(value)


def module_name(name: str) -> str:
    """A module as a reader finds it: 'classifier', 'module 1' of a Sequential, 'the model'."""
    if not name:
        return "the model"
    return f"module {name}" if name[0].isdigit() else name


def capitalized(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]
