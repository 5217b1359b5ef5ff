"""The table of causes: one row each. `causes_of` asks them all.

A cause is named only where its signature holds; several may. Where none explains the first
divergence, that is said, with the place, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose import (
    batch_causes,
    evaluation_causes,
    gradient_causes,
    order_causes,
    rate_causes,
    settings_causes,
    window_causes,
)
from harness.diagnose.facts import Facts
from harness.diagnose.row import Cause, Row
from harness.diagnose.side import Side
from harness.record import RunRecord
from harness.settings import SettingDifference
from harness.stages import STAGES, Divergence, StageDifference

__all__ = ["TABLE", "causes_of"]

TABLE: tuple[Row, ...] = (
    *settings_causes.ROWS,
    *order_causes.ROWS,
    *batch_causes.ROWS,
    *evaluation_causes.ROWS,
    *gradient_causes.ROWS,
    *window_causes.ROWS,
    *rate_causes.ROWS,
)


def causes_of(
    reference: RunRecord,
    candidate: RunRecord,
    labels: tuple[str, str],
    stages: Sequence[StageDifference],
    first: Divergence | None,
    settings: Sequence[SettingDifference],
) -> tuple[Cause, ...]:
    """Why two runs that differ do so: first what explains the first divergence, then the rest."""
    if first is None:
        return ()
    by_name = {setting.name: setting for setting in settings}
    facts = Facts(Side(reference, labels[0]), Side(candidate, labels[1]), stages, first, by_name)
    found = []
    for row in TABLE:
        evidence = row.signature(facts)
        if evidence is None:
            continue
        explains = first.stage in row.explains
        place = min(STAGES.index(stage) for stage in row.explains)
        cause = Cause(
            id=row.id,
            title=row.title,
            evidence=evidence,
            remedy=row.remedy,
            reference=row.reference,
            explains_first=explains,
        )
        found.append((not explains, place, cause))
    return tuple(cause for *_, cause in sorted(found, key=lambda each: each[:2]))
