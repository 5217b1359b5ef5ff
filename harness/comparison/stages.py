"""Compares two traces stage by stage: how much differs, and where it differs first.

Values are compared bit for bit; `compare` derives the outcome from the differences. Two numbers are
equal if their bits are equal, so two equal NaN values do not differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.comparison.alignment import Alignment
from harness.comparison.batches import BACKWARD, micro_batches
from harness.comparison.circumstances import (
    input_detail,
    missing_update,
    optimizer_detail,
    repeated_backward,
    rows_in_training_set,
    same_rows,
)
from harness.comparison.describe import (
    evaluation_detail,
    highest_rates,
    order_detail,
    rate_detail,
    relative_distance,
)
from harness.comparison.factors import gradient_detail, scaled_detail, update_detail
from harness.comparison.gradients_in_use import GradientsInUse
from harness.comparison.likeness import content_differs
from harness.comparison.rates import learning_rates, optimized_in_one
from harness.comparison.tensors import (
    differing_gradients,
    digests,
    initial_weights,
    missing_gradients,
)
from harness.comparison.updates import Cut, cut_of
from harness.results.divergence import STAGES, Divergence, StageDifference, ulp_distance
from harness.results.levels import not_recorded
from harness.results.record import Evaluation, RunRecord
from harness.results.settings import setting_differences, settings_compared
from harness.spec.command import CommandSpec

__all__ = ["aligned_stages", "compare_stages"]


def compare_stages(reference: RunRecord, candidate: RunRecord) -> list[StageDifference]:
    """The difference of each stage, in causal order, without the stages that are not recorded.

    Tensors are compared by name. Raises `RecordError` if a trace is damaged.
    """
    both = Alignment(reference, candidate)
    return aligned_stages(both, cut_of(both))


def aligned_stages(both: Alignment, cut: Cut | None) -> list[StageDifference]:
    """The same; `cut`: the steps that the two divide into micro-batches differently."""
    reference, candidate = both.reference, both.candidate
    gradients = differing_gradients(both)
    found = [
        *_config(both),
        *initial_weights(both),
        *micro_batches(both, cut, gradients.idle_steps),
        *digests(both, gradients),
        *_grad_norm(both, gradients),
        *(learning_rates(both) if len(both.steps) else ()),
        *_step_count(both),
        *_evaluation(reference, candidate),
    ]
    found = [_with_detail(both, stage) for stage in found]
    return _with_origins(sorted(found, key=lambda stage: STAGES.index(stage.stage)))


# The earlier stages from which a difference in a stage may follow.
_MAY_FOLLOW_FROM = {
    "batch_content": ("data_order", "rng"),
    "rng": ("data_order", "batch_content", "evaluation"),
    "loss": ("initial_weights", "data_order", "batch_content", "rng", "weights"),
    "gradients": ("initial_weights", "data_order", "batch_content", "rng", "loss", "weights"),
    "grad_norm": ("gradients",),
    "weights": ("initial_weights", "gradients", "learning_rate"),
    "optimizer_state": ("gradients", "weights", "learning_rate"),
    "step_count": ("data_order",),
    "evaluation": ("initial_weights", "weights", "step_count"),
}


def _with_origins(stages: list[StageDifference]) -> list[StageDifference]:
    """Add to each difference the earliest stage that it may follow from."""
    firsts = {stage.stage: stage.first for stage in stages if stage.first is not None}
    linked = []
    for stage in stages:
        earlier = [
            firsts[name]
            for name in _MAY_FOLLOW_FROM.get(stage.stage, ())
            if stage.first is not None and name in firsts and firsts[name].place < stage.first.place
        ]
        if earlier:
            source = min(earlier, key=lambda divergence: divergence.place)
            stage = stage.model_copy(update={"follows": source.stage})
        linked.append(stage)
    return linked


def _with_detail(both: Alignment, stage: StageDifference) -> StageDifference:
    """Add a sentence that describes the first divergence, if the traces allow one."""
    first = stage.first
    if first is None:
        return stage
    step, detail = first.step, first.detail
    if stage.stage == "data_order":
        detail = (
            missing_update(both, step)
            or repeated_backward(both, step, _number_in_trace(both, first))
            or order_detail(first.reference, first.candidate, same_rows(both))
        )
    elif detail == BACKWARD:
        factor = scaled_detail(both.reference, both.candidate, first)
        detail = f"{detail}; they differ {factor}" if factor else detail
    elif stage.stage == "batch_content" and first.micro_batch is not None:
        number = _number_in_trace(both, first)
        details = detail, _rows_detail(both, first), input_detail(both, step, number)
        detail = "; ".join(filter(None, details))
    elif stage.stage == "learning_rate":
        rates = highest_rates(both.reference), highest_rates(both.candidate)
        detail = "; ".join(filter(None, (rate_detail(first, *rates), optimizer_detail(both, step))))
    elif stage.stage == "gradients":
        detail = missing_gradients(both, step) or gradient_detail(
            both.reference, both.candidate, step, first.tensors_differing or 0
        )
    elif stage.stage == "weights":
        details = (
            update_detail(both.reference, both.candidate, step),
            optimized_in_one(both),
            optimizer_detail(both, step),
        )
        detail = "; ".join(filter(None, details))
    elif stage.stage == "optimizer_state":
        detail = optimizer_detail(both, step)
    elif stage.stage == "evaluation":
        detail = evaluation_detail(
            first.reference, first.candidate, rows_in_training_set(both.reference)
        )
    relative = relative_distance(first.reference, first.candidate)
    exact = first.model_copy(update={"detail": detail, "relative": relative})
    return stage.model_copy(update={"first": exact})


def _rows_detail(both: Alignment, first: Divergence) -> str:
    """How the rows of a batch differ from those of the other, if they do."""
    trace, number = both.micro_batches, _number_in_trace(both, first)
    rows = np.flatnonzero((trace.steps == first.step) & (trace.indices == number))
    if not len(rows):
        return ""
    one, two = trace.pair("rows", int(rows[0]))
    return content_differs(both, first.step) if one and two and one != two else ""


def _number_in_trace(both: Alignment, first: Divergence) -> int:
    """The number of a micro-batch as in the trace, which counts the processes too; 0: none."""
    number = first.micro_batch or 0
    if first.rank is not None:
        number = both.reference.spec.processes * (number - 1) + first.rank + 1
    return number


def _config(both: Alignment) -> Iterator[StageDifference]:
    """Settings that both runs recorded before their first step."""
    headers = both.reference.header, both.candidate.header
    compared = settings_compared(*headers)
    if not compared:
        return
    different = setting_differences(*headers)
    first = None
    if different:
        leading = min(different, key=lambda setting: not setting.decisive)
        first = Divergence(
            step=0,
            stage="config",
            reference={leading.name: leading.reference},
            candidate={leading.name: leading.candidate},
            detail=", ".join(setting.name for setting in different),
        )
    yield StageDifference(stage="config", compared=compared, differing=len(different), first=first)


def _grad_norm(both: Alignment, gradients: GradientsInUse) -> Iterator[StageDifference]:
    """The total norm of the raw gradients, except where only gradients without an effect differ.

    Where the order of the tensors is another one, norms of equal gradients differ by rounding.
    """
    trace = both.steps
    if not len(trace) or "grad_norm" in not_recorded(both.reference, both.candidate):
        return
    held = both.recorded("grad_norm")
    differing = trace.differing("grad_norm")
    differing = differing[~np.isin(trace.steps[differing], list(gradients.idle_steps))]
    if not both.same_model:
        equal = both.recorded("gradients")[differing]
        equal &= ~np.isin(trace.steps[differing], list(gradients.tensors))
        differing = differing[~equal]
    if any(record.header.in_shares for record in (both.reference, both.candidate)):
        # Norms of equal gradients differ only in their rounding.
        differing = differing[np.isin(differing, trace.differing("gradients"))]
    rows = np.flatnonzero(held)[np.isin(np.flatnonzero(held), differing)]
    first = None
    if len(rows):
        values = trace.pair("grad_norm", int(rows[0]))
        first = Divergence(
            step=trace.steps[rows[0]],
            stage="grad_norm",
            reference=values[0],
            candidate=values[1],
            max_ulp=ulp_distance(*values),
        )
    compared = int(np.count_nonzero(held))
    yield StageDifference(stage="grad_norm", compared=compared, differing=len(rows), first=first)


def _step_count(both: Alignment) -> Iterator[StageDifference]:
    """The number of updates; not compared if a run was not completed."""
    if any(run.header.status != "completed" for run in (both.reference, both.candidate)):
        return
    left, right = len(both.reference.steps), len(both.candidate.steps)
    first = None
    if left != right:
        first = Divergence(
            step=min(left, right) + 1, stage="step_count", reference=left, candidate=right
        )
    yield StageDifference(stage="step_count", compared=1, differing=int(left != right), first=first)


def _evaluation(reference: RunRecord, candidate: RunRecord) -> Iterator[StageDifference]:
    """Evaluations at the same step, and the last evaluations of both runs at any step.

    If a run was not completed, only evaluations before its last step are compared. A command may
    have none, which is not recorded rather than another result.
    """
    left, right = reference.header.evaluations, candidate.header.evaluations
    if any(
        isinstance(r.spec, CommandSpec) and not r.header.evaluations for r in (reference, candidate)
    ):
        return
    cuts = [s.header.steps for s in (reference, candidate) if s.header.status != "completed"]
    if cuts:
        left, right = (tuple(e for e in run if e.step < min(cuts)) for run in (left, right))
    if not (left or right):
        return
    last = max(found[-1].step for found in (left, right) if found)
    pairs: dict[int, list[Evaluation | None]] = {}
    for position, evaluations in enumerate((left, right)):
        for number, evaluation in enumerate(evaluations, start=1):
            step = last if number == len(evaluations) else evaluation.step
            pairs.setdefault(step, [None, None])[position] = evaluation
    found = [
        Divergence(
            step=step,
            stage="evaluation",
            reference=one and {"rows": one.rows, **one.metrics, **one.loss_metrics},
            candidate=two and {"rows": two.rows, **two.metrics, **two.loss_metrics},
        )
        for step, (one, two) in sorted(pairs.items())
        if _content(one) != _content(two) or _losses_differ(one, two)
    ]
    yield StageDifference(
        stage="evaluation",
        compared=sum(None not in pair for pair in pairs.values()),
        differing=len(found),
        first=found[0] if found else None,
    )


def _losses_differ(one: Evaluation | None, two: Evaluation | None) -> bool:
    """Whether a loss that both runs report differs; not every loop reports one."""
    if one is None or two is None:
        return False
    common = one.loss_metrics.keys() & two.loss_metrics.keys()
    return any(repr(one.loss_metrics[name]) != repr(two.loss_metrics[name]) for name in common)


def _content(evaluation: Evaluation | None) -> str:
    """The metrics as text: two NaN values are equal, and the signs of zeros count."""
    return repr(evaluation and (evaluation.rows, sorted(evaluation.metrics.items())))
