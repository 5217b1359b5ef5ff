"""The same loop on several devices: one case becomes one for each.

Both sides take the digests that a device can take, since those of the host are other numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import SpecError, unknown_name
from harness.spec import DEVICES, Case

__all__ = ["one_case_a_device"]


def one_case_a_device(case: Case, devices: Iterable[str]) -> list[Case]:
    """`case` on each of two devices or more. Raises `SpecError`."""
    names = list(devices)
    for name in names:
        if name not in DEVICES:
            raise unknown_name("device", name, DEVICES)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        rule = "--devices takes two different devices or more"
        raise SpecError(rule, ",".join(names) or "none", "pass --devices cpu,cuda")
    return [
        case.model_copy(
            update={
                "name": f"{case.name}-{name}",
                "device_of": case.name,
                "device": name,
                "digests": "device",
            }
        )
        for name in names
    ]
