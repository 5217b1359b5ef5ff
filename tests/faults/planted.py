"""All planted faults, with and without a cause in the table."""

from __future__ import annotations

from tests.faults.planted_cases import CASES
from tests.faults.planted_known import KNOWN
from tests.faults.planted_known_later import KNOWN_LATER, TWO_AT_ONCE
from tests.faults.planted_unknown import UNKNOWN
from tests.faults.planted_unknown_later import UNKNOWN_LATER

__all__ = ["FAULTS"]

FAULTS = KNOWN + UNKNOWN + KNOWN_LATER + TWO_AT_ONCE + UNKNOWN_LATER + CASES
