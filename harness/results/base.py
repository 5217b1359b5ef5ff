"""The base of every result that a report holds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Result"]


class Result(BaseModel):
    """Frozen data. In JSON, NaN and infinities are the strings "NaN", "Infinity", "-Infinity"."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
