"""Print seconds, bytes, rates and digests. Values are scaled only here."""

from __future__ import annotations

import math

__all__ = ["about", "counted", "digest", "number", "quantity"]

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float, digits: int = 4) -> str:
    """`value` with at most `digits` significant digits; integers keep all digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.{digits}g}"


def counted(number: int, noun: str) -> str:
    """'1 step', '3 steps', '2 batches', '2 epochs'."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('tch') else 's'}"


def quantity(value: float | None, unit: str) -> str:
    """`value`, given in base units, scaled for reading: ('s', 'B', '1/s', '' for a bare number)."""
    if value is None:
        return "-"
    if unit == "B":
        scaled, step = float(value), 0
        while round(abs(scaled)) >= 1024 and step < len(_BYTES) - 1:
            scaled, step = scaled / 1024, step + 1
        return f"{_short(scaled)} {_BYTES[step]}"
    if unit == "s" and 0 < abs(value) < 0.9995:
        if abs(value) < 0.9995e-3:
            return f"{_short(value * 1e6)} µs"
        return f"{_short(value * 1e3)} ms"
    if unit == "s" and round(abs(value)) >= 120:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds} s"
    digits = 3 if unit == "s" and abs(value) < 1 else 4
    return f"{number(value, digits)} {unit}".strip()


def about(seconds: float) -> str:
    """An estimate with two significant digits: 'about 40 s', 'about 12 min', 'about 2 h 10 min'."""
    rounded = float(f"{seconds:.2g}")
    if rounded < 120:
        return f"about {quantity(rounded, 's')}"
    hours, minutes = divmod(round(rounded / 60), 60)
    if not hours:
        return f"about {minutes} min"
    return f"about {hours} h {minutes} min" if minutes else f"about {hours} h"


def _short(value: float) -> str:
    """Three significant digits, without an exponent for large values."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def digest(value: int) -> str:
    """A 64-bit digest as sixteen hexadecimal digits."""
    return f"{value:016x}"


_LONGEST = 160
"""Characters of source code that are shown."""


def on_one_line(source: str) -> str:
    """Source code on one line, cut off where it is longer than a reader wants it."""
    line = " ".join(source.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
