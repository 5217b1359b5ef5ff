"""Causes in how a training ends: before its last step, or with weights of an earlier step."""

from __future__ import annotations

from harness.comparison.causes.cause import CauseRule, CounterEvidence, OneOf
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.learning_rate import moves
from harness.comparison.causes.run_view import RunView
from harness.units import counted

__all__ = ["RULES"]


def _stops_early(evidence: Evidence) -> str | OneOf | None:
    """One run ends first, and its schedule was made for the steps of the other."""
    place = evidence.firsts.get("step_count")
    if place is None or evidence.first_stage != "step_count":
        return None
    run, other = sorted(evidence.runs, key=lambda each: len(each.rates))
    counts = (
        f"{run.label} ends after {counted(len(run.rates), 'update')}, {other.label} after "
        f"{len(other.rates)}, and all values of the common updates are equal"
    )
    if all(each.record.header.steps_expected == len(other.rates) for each in evidence.runs):
        return f"{counts}; the recipe asks for {len(other.rates)}"
    return OneOf(
        counts,
        (
            f"{run.label} stops early, by its own rule",
            f"{other.label} goes on after the planned number of updates",
        ),
    )


def _one_rate(evidence: Evidence) -> bool:
    """Whether the rates are constant, so they do not show the planned number of updates."""
    return not all(run.rates and moves(run) for run in evidence.runs)


def _other_epochs(evidence: Evidence) -> bool:
    return "schedule" in evidence.settings


def _earlier_weights_loaded(evidence: Evidence) -> str | None:
    """The last evaluation has the metrics of an earlier one, and the weights were replaced."""
    if evidence.first_stage not in ("weights", "evaluation"):
        return None
    for run, other in evidence.ordered_pairs:
        step = _replaced_at_the_end(run)
        if step is None or evidence.step != step or _replaced_at_the_end(other) is not None:
            continue
        *before, last = run.record.header.evaluations
        alike = [one for one in before if one.metrics == last.metrics and one.step < step]
        digests = run.record.steps["weights"].to_pylist()
        if digests[-1] is not None and digests[-1] in digests[:-1]:
            return (
                f"after its last update, step {step}, {run.label} replaces its weights by those "
                f"of step {digests.index(digests[-1]) + 1}"
            )
        if alike and evidence.first_stage == "evaluation":
            return (
                f"after its last update, step {step}, {run.label} replaces its weights; its final "
                f"metrics are those of its evaluation after step {alike[0].step}"
            )
    return None


def _replaced_at_the_end(run: RunView) -> int | None:
    """The last step, if code outside the update changed the weights after it."""
    last = len(run.rates)
    return last if last in run.observed("weights_changed_outside_update") else None


def _metrics_never_change(evidence: Evidence) -> bool:
    """Whether all evaluations of a run have the same metrics, so they identify no step."""
    return any(
        len(run.record.header.evaluations) > 2
        and len({str(sorted(e.metrics.items())) for e in run.record.header.evaluations}) == 1
        for run in evidence.runs
    )


RULES = (
    CauseRule(
        "ends-early",
        "one run ends before the other, with equal values until then",
        ("step_count",),
        _stops_early,
        "train both for the same number of updates, without early stopping",
        needs_recipe=False,
        excluded_by=(
            CounterEvidence(
                "the learning rate is constant, so it does not show the planned number of updates",
                "the learning rates",
                _one_rate,
            ),
            CounterEvidence(
                "the schedules have other lengths", "the setting `schedule`", _other_epochs
            ),
        ),
    ),
    CauseRule(
        "earlier-weights-loaded",
        "the weights of an earlier step are loaded at the end",
        ("weights", "evaluation"),
        _earlier_weights_loaded,
        "load the best model at the end in both runs, or in neither (Trainer: "
        "load_best_model_at_end)",
        excluded_by=(
            CounterEvidence(
                "all evaluations of a run have the same metrics",
                "the metrics of each evaluation",
                _metrics_never_change,
            ),
        ),
    ),
)
