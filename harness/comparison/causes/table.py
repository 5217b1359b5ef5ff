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
from harness.comparison.causes.cause import CauseRule
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.results.comparison import Cause
from harness.results.divergence import STAGES, Divergence, StageDifference
from harness.results.record import RunRecord
from harness.results.settings import SettingDifference

__all__ = ["TABLE", "causes_of"]

TABLE: tuple[CauseRule, ...] = (
    *settings_causes.RULES,
    *order_causes.RULES,
    *batch_causes.RULES,
    *evaluation_causes.RULES,
    *gradient_causes.RULES,
    *window_causes.RULES,
    *rate_causes.RULES,
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
    evidence = Evidence(
        RunView(reference, labels[0]), RunView(candidate, labels[1]), stages, first, by_name
    )
    found = []
    for row in TABLE:
        sentence = row.signature(evidence)
        if sentence is None:
            continue
        explains = first.stage in row.explains
        place = min(STAGES.index(stage) for stage in row.explains)
        cause = Cause(
            id=row.id,
            title=row.title,
            evidence=sentence,
            remedy=row.remedy,
            reference=row.reference,
            explains_first=explains,
        )
        found.append((not explains, place, cause))
    return tuple(cause for *_, cause in sorted(found, key=lambda each: each[:2]))
