"""What the process that records and its parent share: names of files, and sentences."""

from __future__ import annotations

__all__ = ["CUT_OFF", "HEADER_SO_FAR", "KEPT", "NO_MODULE", "PLACE"]

KEPT = "kept"
"""The folder of the rows that were set aside, within that of a recording."""
HEADER_SO_FAR = "header-so-far.json"
"""The header that belongs to the rows that were set aside."""
PLACE = "place.json"
"""Which process the recording is from, and its place among those that train together."""
NO_MODULE = "No module owns some of the parameters, so forward passes through them were not seen."
"""What could not be seen of parameters that a script holds by itself."""
CUT_OFF = "the process ended before it could close its record"
"""Error of the record of a process that was killed."""
