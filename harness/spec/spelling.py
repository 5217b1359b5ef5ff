"""How the options of `harness run` are spelled: on a command line, or as arguments in Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["Spelling", "as_text", "command_words", "option_of", "spelled"]

Spelling = Literal["command line", "python"]
_OPTIONS = {
    "interpreters": "--python",
    "requirements": "--with",
    "settings": "--set",
    "margins": "--margin",
    "timeout_s": "--timeout",
}
"""Options whose name is not that of their field."""
_REPEATED = ("interpreters", "requirements", "settings", "margins", "slurm")
"""Options that are given once for each value; the other sequences are joined by commas."""
_NOT_TYPED = ("cases", "keep_going", "spelling")


def spelled(spelling: Spelling, name: str, value: object = None) -> str:
    """A field of a request as an option, with a value or without: `--seeds 5`, `seeds=5`."""
    if spelling == "python":
        shown = list(value) if isinstance(value, tuple) else value
        return f"{name}={'' if value is None or value is True else repr(shown)}"
    text = "" if value is None or value is True else as_text(value)
    return f"{option_of(name)} {text}".strip()


def command_words(values: Mapping[str, Any]) -> list[str]:
    """Fields of a request, by name, as the options of `harness run`."""
    words: list[str] = []
    for name, value in values.items():
        if name in _NOT_TYPED or value is None or value is False:
            continue
        option = option_of(name)
        if value is True:
            words.append(option)
        elif isinstance(value, Mapping):
            for key, one in value.items():
                words += [option, f"{key}={as_text(one)}"]
        elif name in _REPEATED:
            for one in value:
                words += [option, str(one)]
        else:
            words += [option, as_text(value)]
    return words


def option_of(name: str) -> str:
    """The option of the command line for a field of a request."""
    return _OPTIONS.get(name) or f"--{name.replace('_', '-')}"


def as_text(value: Any) -> str:
    """A value as it is typed after an option or after `--set KEY=`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        if all(isinstance(one, str) for one in value):
            return ",".join(value)
        return json.dumps(value)
    return str(value)
