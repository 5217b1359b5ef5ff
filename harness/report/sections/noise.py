"""A pair compared with the noise of its reference, field by field."""

from __future__ import annotations

from harness.report.document import Column, Table
from harness.report.text.noise import caption, field_title
from harness.results.noise import FieldNoise, Noise
from harness.units import number

__all__ = ["noise_table"]

_COLUMNS = (
    Column("field"),
    Column("largest difference", note="absolute"),
    Column("relative", note="to the value"),
    Column("ulp", note="of single precision"),
    Column("noise", note="root mean square of the draws"),
    Column("bound", note="of the noise band"),
    Column("smallest visible", note="relative"),
    Column("judged in", note="where the band is narrow enough"),
    Column("outcome", "outcome"),
)


def noise_table(pair: str, noise: Noise) -> Table:
    """A row for each field; `pair` names the table."""
    rows = tuple(_row(field) for field in noise.fields)
    return Table(f"Noise band of the reference, {pair}", _COLUMNS, rows, caption(noise))


def _row(field: FieldNoise) -> tuple[str, ...]:
    return (
        field_title(field),
        _figure(field.largest, field.step_of_largest),
        _figure(field.relative),
        _figure(field.ulp),
        _figure(field.envelope),
        _figure(field.threshold, field.step),
        _figure(field.smallest_visible),
        _judged(field),
        field.outcome,
    )


def _figure(value: float | None, step: int | None = None) -> str:
    if value is None:
        return ""
    return number(value, 2) + (f" (step {step})" if step is not None else "")


def _judged(field: FieldNoise) -> str:
    """A field with one value for the whole run has no steps to count."""
    if field.field == "tensors":
        return f"{field.judged} of {field.of} tensors"
    if field.step is None:
        return "yes" if field.judged else "no"
    return f"{field.judged} of {field.of} steps"
