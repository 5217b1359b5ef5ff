"""Causes in an evaluation: the rows it counts, its mode, and its use of random numbers."""

from __future__ import annotations

from harness.comparison.causes.cause import CauseRule, CounterEvidence
from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.results.header import GLOBAL_GENERATOR

__all__ = ["RULES"]


_RESTORED = "generator_kept_over_evaluation"


def _rng_diverges_at(evidence: Evidence) -> int | None:
    """The step at which the random generators diverge, if no independent stage differs before."""
    place = evidence.firsts.get("rng")
    if place is None:
        return None
    if evidence.first_stage == "data_order":  # the order may be drawn from these generators
        drawn = {run.setting("loader.sampler") for run in evidence.runs}
        return place.step if evidence.step == place.step and drawn == {GLOBAL_GENERATOR} else None
    return place.step if evidence.first_stage in ("rng", "evaluation") else None


def _eval_consumes(evidence: Evidence) -> str | None:
    step = _rng_diverges_at(evidence)
    if step is None or step < 2:
        return None
    kept = [step in run.observed(_RESTORED) for run in evidence.runs]
    passes = []
    for run in evidence.runs:
        before = run.circumstance(step, "passes_before")
        passes.append(before[0] if before else 0)
    if not any(passes):
        return None
    if passes[0] != passes[1]:
        more, fewer = (1, 0) if passes[1] > passes[0] else (0, 1)
        if kept[more]:
            return None
        sentence = (
            f"before step {step} {evidence.runs[more].label} evaluates {_batches(passes[more])}, "
            f"{evidence.runs[fewer].label} {passes[fewer] or 'none'}"
        )
    elif kept[0] != kept[1]:
        sentence = (
            f"before step {step} both evaluate {_batches(passes[0])}; only "
            f"{evidence.runs[kept[1]].label} restores the state of its generator afterwards"
        )
    else:
        return None
    return f"{sentence}; the random generators diverge there"


def _batches(count: int) -> str:
    return "1 batch" if count == 1 else f"{count} batches"


def _forgot_eval_mode(evidence: Evidence) -> str | None:
    for run, other in evidence.ordered_pairs:
        seen = run.observed("evaluated_in_training_mode")
        if seen and not other.observed("evaluated_in_training_mode"):
            return f"{run.label} evaluates after step {seen[0]} in training mode"
    return None


def _evaluates_later(evidence: Evidence) -> bool:
    """Whether the values differ before the first evaluation in training mode."""
    seen = [run.observed("evaluated_in_training_mode") for run in evidence.runs]
    first = min((steps[0] for steps in seen if steps), default=evidence.step)
    return evidence.first_stage in ("evaluation", "rng") and evidence.step < first


def _in_training_mode(evidence: Evidence) -> bool:
    return any(run.observed("evaluated_in_training_mode") for run in evidence.runs)


def _counts_the_training_set(evidence: Evidence) -> bool:
    """Whether one evaluation has as many rows as the training set."""
    place = evidence.firsts.get("evaluation")
    if place is None or not (place.reference and place.candidate):
        return False
    rows = (place.reference["rows"], place.candidate["rows"])
    return any(run.rows_in_set in rows for run in evidence.runs)


def _other_draws(evidence: Evidence) -> bool:
    """Whether the generators differ before any evaluation could be the reason."""
    step = _rng_diverges_at(evidence)
    return step is not None and not any(
        (run.circumstance(step, "passes_before") or [0])[0] for run in evidence.runs
    )


def _eval_duplicates(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("evaluation")
    if place is None or not (place.reference and place.candidate):
        return None
    one, two = place.reference["rows"], place.candidate["rows"]
    whole = evidence.reference.record.header.evaluations[
        -1
    ].rows  # the harness counts each row once
    if one == two or max(one, two) <= whole:
        return None
    more, fewer = (
        (evidence.candidate, evidence.reference)
        if two > one
        else (evidence.reference, evidence.candidate)
    )
    if max(one, two) not in _filled_up(more, whole):
        return None  # other rows, not the same ones with padding
    return (
        f"the evaluation after step {place.step} counts {max(one, two)} rows in {more.label} and "
        f"{min(one, two)} in {fewer.label}"
    )


def _filled_up(run: RunView, rows: int) -> set[int]:
    """The numbers of rows of which padding makes whole rounds or whole batches."""
    size = run.record.run_spec.recipe.eval_batch_size
    rounds = run.world_size, size, size * run.world_size
    return {-(-rows // each) * each for each in rounds}


def _mean_of_means(evidence: Evidence) -> str | None:
    place = evidence.firsts.get("evaluation")
    if place is None or evidence.first_stage != "evaluation":
        return None
    if not (place.reference and place.candidate):
        return None
    differing = {
        name
        for name in place.reference.keys() & place.candidate.keys()
        if place.reference[name] != place.candidate[name]
    }
    rows = place.reference["rows"]
    size = evidence.reference.record.run_spec.recipe.eval_batch_size
    if not differing or "rows" in differing or rows % size == 0:
        return None
    if "accuracy" in differing:
        scores = place.reference["accuracy"], place.candidate["accuracy"]
        if not any(_mean_over_batches(*pair, rows, size) for pair in (scores, scores[::-1])):
            return None
    elif "loss" not in differing or not _loss_over_batches(evidence, place.step):
        return None
    name = "accuracy" if "accuracy" in differing else "loss"
    return (
        f"after step {place.step} equal weights have the {name} {place.candidate[name]:.6g} in "
        f"{evidence.candidate.label} and {place.reference[name]:.6g} in "
        f"{evidence.reference.label}; {rows} rows are not a multiple of the batch size {size}"
    )


def _loss_over_batches(evidence: Evidence, step: int) -> bool:
    """Whether exactly one run reports the mean over batches as the mean over rows."""
    seen = [step in run.observed("evaluation_loss_over_batches") for run in evidence.runs]
    return seen[0] != seen[1]


def _mean_over_batches(whole: float, other: float, rows: int, size: int) -> bool:
    """Whether `other` can be a mean over batches of the score that is `whole` over all rows.

    Let c be the number of right answers and q the part of them in the last batch of r rows. The
    mean over n batches of `size` rows and the last batch is ((c - q) / size + q / r) / (n + 1).
    `other` is possible if this gives a whole number q.
    """
    right, last = whole * rows, rows % size
    batches = rows // size + 1
    in_last = (other * batches - right / size) / (1 / last - 1 / size)
    return abs(in_last - round(in_last)) < 1e-6 and -1e-6 < in_last <= last + 1e-6


RULES = (
    CauseRule(
        "eval-consumes-rng",
        "an evaluation draws from the global random generator",
        ("data_order", "rng", "evaluation"),
        _eval_consumes,
        "evaluate at the same steps, or restore the random generators after each evaluation",
        excluded_by=(
            CounterEvidence(
                "no evaluation precedes the first step that differs",
                "the passes without gradients before each step",
                _other_draws,
            ),
            CounterEvidence(
                "one run evaluates in training mode, where dropout draws",
                "`evaluated_in_training_mode`",
                _in_training_mode,
            ),
        ),
    ),
    CauseRule(
        "forgot-eval-mode",
        "the model is evaluated in training mode",
        ("evaluation", "rng"),
        _forgot_eval_mode,
        "call model.eval() before each evaluation",
        excluded_by=(
            CounterEvidence(
                "the values differ before the first evaluation in training mode",
                "`evaluated_in_training_mode`",
                _evaluates_later,
            ),
        ),
    ),
    CauseRule(
        "eval-duplicates",
        "an evaluation counts rows that only pad its last batch",
        ("evaluation",),
        _eval_duplicates,
        "use gather_for_metrics, or cut the predictions to the number of rows",
        "accelerate#226, accelerate#1674",
        excluded_by=(
            CounterEvidence(
                "one evaluation has as many rows as the training set",
                "the rows of each evaluation, the number of training rows",
                _counts_the_training_set,
            ),
        ),
    ),
    CauseRule(
        "mean-of-batch-means",
        "the evaluation loss is averaged over batches, not over rows",
        ("evaluation",),
        _mean_of_means,
        "weight the loss of each batch by its number of rows",
        "transformers#39241",
        excluded_by=(
            CounterEvidence(
                "one run evaluates in training mode",
                "`evaluated_in_training_mode`",
                _in_training_mode,
            ),
        ),
    ),
)
