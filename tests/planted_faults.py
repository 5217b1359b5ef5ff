"""All planted faults: those with a row in the catalogue of causes, and those without."""

from __future__ import annotations

from tests.planted_known import KNOWN
from tests.planted_unknown import UNKNOWN

__all__ = ["FAULTS"]

FAULTS = KNOWN + UNKNOWN
