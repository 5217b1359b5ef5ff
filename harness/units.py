"""How seconds, bytes, rates and digests are printed. Scaling happens nowhere else."""

from __future__ import annotations

import math

__all__ = ["digest", "number", "quantity"]

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float, digits: int = 4) -> str:
    """`value` with at most `digits` significant digits; integers are kept whole."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.{digits}g}"


def quantity(value: float | None, unit: str) -> str:
    """`value`, given in base units, scaled for reading: ('s', 'B', '1/s', '' for a bare number)."""
    if value is None:
        return "-"
    if unit == "B":
        scaled, step = float(value), 0
        while abs(scaled) >= 1024 and step < len(_BYTES) - 1:
            scaled, step = scaled / 1024, step + 1
        return f"{number(scaled, 3)} {_BYTES[step]}"
    if unit == "s" and 0 < abs(value) < 1:
        return (
            f"{number(value * 1e3, 3)} ms" if abs(value) >= 1e-3 else f"{number(value * 1e6, 3)} µs"
        )
    if unit == "s" and abs(value) >= 120:
        return f"{int(value // 60)} min {value % 60:.0f} s"
    return f"{number(value)} {unit}".strip()


def digest(value: int) -> str:
    """A 64-bit digest as sixteen hexadecimal digits."""
    return f"{value:016x}"
