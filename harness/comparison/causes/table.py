"""The table of causes: one row each. `causes_of` asks them all.

A cause is named only where its signature holds; several may. Where none explains the first
divergence, that is said, with the place, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.causes import (
    accumulation as window_causes,
)
from harness.comparison.causes import (
    batches as batch_causes,
)
from harness.comparison.causes import (
    data_order as order_causes,
)
from harness.comparison.causes import (
    evaluation as evaluation_causes,
)
from harness.comparison.causes import (
    gradients as gradient_causes,
)
from harness.comparison.causes import (
    learning_rate as rate_causes,
)
from harness.comparison.causes import (
    settings as settings_causes,
)
from harness.comparison.causes.cause import Row
from harness.comparison.causes.evidence import Facts
from harness.comparison.causes.run_view import Side
from harness.results.comparison import Cause
from harness.results.divergence import STAGES, Divergence, StageDifference
from harness.results.record import RunRecord
from harness.results.settings import SettingDifference

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
