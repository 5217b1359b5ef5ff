"""GitHub's `${{ }}` expressions, as far as the files here use them; anything else is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["condition", "filled"]

_INSIDE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|!|\(|\)|[A-Za-z_][\w.-]*(?:\(\))?)")


def filled(text: str, contexts: Mapping[str, Any]) -> str:
    """`text` with the value of each expression in it."""
    return _INSIDE.sub(lambda found: _shown(_value(found[1], contexts)), text)


def condition(text: str | None, contexts: Mapping[str, Any], succeeded: bool) -> bool:
    """Whether a step with this `if` runs; one that does not say `always()` asks for success."""
    inner = _INSIDE.sub(lambda found: found[1], text or "true")
    known = {**contexts, "always()": True}
    return bool(_value(inner, known)) and (succeeded or "always()" in inner)


def _shown(value: Any) -> str:
    return {None: "", True: "true", False: "false"}.get(value, value)  # type: ignore[no-any-return]


def _value(text: str, contexts: Mapping[str, Any]) -> Any:
    tokens = []
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        assert found, f"an expression that is not understood here: {text}"
        tokens.append(found[1])
        place = found.end()
    value = _either(tokens, contexts)
    assert not tokens, f"an expression that is not understood here: {text}"
    return value


def _either(tokens: list[str], contexts: Mapping[str, Any]) -> Any:
    """`a || b`: the first that is true, else the last."""
    value = _both(tokens, contexts)
    while tokens and tokens[0] == "||":
        tokens.pop(0)
        other = _both(tokens, contexts)
        value = value or other
    return value


def _both(tokens: list[str], contexts: Mapping[str, Any]) -> Any:
    """`a && b`: the first that is false, else the last."""
    value = _equal(tokens, contexts)
    while tokens and tokens[0] == "&&":
        tokens.pop(0)
        other = _equal(tokens, contexts)
        value = value and other
    return value


def _equal(tokens: list[str], contexts: Mapping[str, Any]) -> Any:
    value = _one(tokens, contexts)
    compared: dict[str, Callable[[Any, Any], bool]] = {
        "==": lambda left, right: (left or "") == (right or ""),
        "!=": lambda left, right: (left or "") != (right or ""),
    }
    while tokens and tokens[0] in compared:
        value = compared[tokens.pop(0)](value, _one(tokens, contexts))
    return value


def _one(tokens: list[str], contexts: Mapping[str, Any]) -> Any:
    word = tokens.pop(0)
    if word == "(":
        value = _either(tokens, contexts)
        assert tokens.pop(0) == ")"
        return value
    if word == "!":
        return not _one(tokens, contexts)
    if word.startswith("'"):
        return word[1:-1].replace("''", "'")
    if word in ("true", "false"):
        return word == "true"
    if word.endswith("()"):
        return contexts[word]
    first, *rest = word.split(".")
    assert first in contexts, f"a context that is not understood here: {word}"
    found = contexts[first]
    for part in rest:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
