"""The table of causes, one rule each, and the search through it.

A cause is named only where its signature matches and none of its counter-evidence holds. Several
causes may match. If no cause explains the first divergence, none is guessed.
"""

from __future__ import annotations

from harness.comparison.causes import (
    accumulation,
    batches,
    data_order,
    ends,
    evaluation,
    forward_pass,
    gradients,
    learning_rate,
    loss_scale,
    optimizer,
    random_numbers,
    resume,
    row_order,
    schedule_pace,
    settings,
)
from harness.comparison.causes.cause import CauseRule, OneOf
from harness.comparison.causes.evidence import Evidence
from harness.results.comparison import Cause
from harness.results.divergence import STAGES
from harness.spec.case import RunSpec

__all__ = ["TABLE", "causes_of"]

TABLE: tuple[CauseRule, ...] = (
    *settings.RULES,
    *optimizer.RULES,
    *resume.RULES,
    *data_order.RULES,
    *row_order.RULES,
    *batches.RULES,
    *random_numbers.RULES,
    *forward_pass.RULES,
    *evaluation.RULES,
    *ends.RULES,
    *loss_scale.RULES,
    *gradients.RULES,
    *accumulation.RULES,
    *learning_rate.RULES,
    *schedule_pace.RULES,
)


def causes_of(evidence: Evidence) -> tuple[Cause, ...]:
    """The causes that match two runs: first those that explain the first divergence."""
    first = evidence.first
    if first is None:
        return ()
    followed = all(isinstance(run.record.spec, RunSpec) for run in evidence.runs)
    matches = []
    for rule in TABLE:
        if rule.needs_recipe and not followed:
            continue
        found = rule.signature(evidence)
        if found is None or any(other.holds(evidence) for other in rule.excluded_by):
            continue
        explains_first = first.stage in rule.explains
        earliest = min(STAGES.index(stage) for stage in rule.explains)
        cause = Cause(
            id=rule.id,
            title=rule.title,
            evidence=found.evidence if isinstance(found, OneOf) else found,
            remedy=rule.remedy,
            reference=rule.reference,
            explains_first=explains_first,
            consistent_with=found.possible if isinstance(found, OneOf) else (),
        )
        matches.append((not explains_first, earliest, cause))
    return tuple(cause for *_, cause in sorted(matches, key=lambda match: match[:2]))
