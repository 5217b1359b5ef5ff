"""A violation that pydantic found, as one plain line: the rule, the value met, the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from harness.errors import SpecError

__all__ = ["violation"]

_RULES = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "string_pattern_mismatch": "has characters that are not allowed",
    "missing": "must be given",
    "too_short": "must have {min_length} or more values",
    "too_long": "must have at most {max_length} values",
    "string_too_short": "must not be empty",
}
"""By the type of pydantic's error; the names in braces are of its context."""
_KINDS = (
    (("int_",), "must be a whole number"),
    (("float_",), "must be a number"),
    (("bool_",), "must be true or false"),
    (("tuple_", "list_"), "must be a list of values"),
    (("dict_", "mapping_", "model_"), "must be a table of names and values"),
)
"""By the beginning of that type."""
_QUOTED = re.compile(r"'([^']*)'")


def violation(error: Mapping[str, Any], model: str) -> SpecError:
    """The line for the first error of a `ValidationError` of the model called `model`."""
    # Names after the first are members of a union that was tried; a user cannot use them.
    parts = enumerate(error["loc"])
    path = [part for number, part in parts if not number or isinstance(part, int)]
    place = ".".join(map(str, path)) or model
    met = repr(error["input"])
    if error["type"] in ("literal_error", "enum"):
        known = _QUOTED.findall(str(error["ctx"]["expected"]))
        near = difflib.get_close_matches(str(error["input"]), known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return SpecError(
            f"{place}: must be one of {', '.join(known)}", met, f"change {place}{hint}"
        )
    return SpecError(f"{place}: {_rule(error)}", met, f"change {place}")


def _rule(error: Mapping[str, Any]) -> str:
    kind, context = str(error["type"]), error.get("ctx") or {}
    if kind in _RULES:
        limits = {name: f"{limit:g}" for name, limit in context.items() if _is_number(limit)}
        return _RULES[kind].format(**{**context, **limits})
    for beginnings, rule in _KINDS:
        if kind.startswith(beginnings):
            return rule
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
