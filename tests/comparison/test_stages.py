"""The first divergence of two records: step, stage and tensor of one planted difference."""

import math
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.stages import compare_stages
from harness.results.comparison import Comparison
from harness.results.divergence import STAGES, Divergence
from tests.support.evidence import evident
from tests.support.records import (
    MICRO_BATCHES,
    STAGE_COLUMNS,
    STEPS,
    TENSORS,
    Draft,
    compare_drafts,
    draft,
    evaluation,
)


def first_of(found: Comparison) -> Divergence:
    assert "different" == found.outcome
    assert found.first_divergence is not None
    return found.first_divergence


def difference(folder: Path, candidate: Draft) -> Divergence:
    """The first divergence of `candidate` from a fresh draft."""
    return first_of(compare_drafts(folder, draft(), candidate))


@pytest.mark.parametrize("where", ["both", "step digest only", "tensor digest only"])
@pytest.mark.parametrize("stage", STAGE_COLUMNS)
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_one_bit_of_one_tensor_is_found_at_its_step(
    tmp_path: Path, step: int, stage: str, where: str
) -> None:
    """A single bit of a digest at any step is found at that step, in that stage and tensor."""
    candidate, tensor = draft(), TENSORS[step % len(TENSORS)]
    if where != "tensor digest only":
        candidate.step(step)[stage] ^= 1 << 63
    if where != "step digest only":
        candidate.tensor(step, tensor)[STAGE_COLUMNS[stage]] ^= 1
    found = difference(tmp_path, candidate)

    named = None if where == "step digest only" else tensor
    assert (step, stage, named) == (found.step, found.stage, found.tensor)
    assert (None if named is None else 1) == found.tensors_differing


@pytest.mark.parametrize("tensor", TENSORS)
def test_one_bit_of_an_initial_weight_is_found_before_the_first_step(
    tmp_path: Path, tensor: str
) -> None:
    """Step 0 holds the weights that training starts from."""
    candidate = draft()
    candidate.tensor(0, tensor)["weight"] ^= 1
    found = difference(tmp_path, candidate)

    assert (0, "initial_weights", tensor) == (found.step, found.stage, found.tensor)


def test_other_initial_weights_are_found_without_a_tensor_trace(tmp_path: Path) -> None:
    """The header's digest of the initial weights is compared where tensors were not recorded."""
    reference, candidate = draft(), draft(initial_weights="0" * 16)
    for made in (reference, candidate):
        del made.rows["tensors"]
    found = first_of(compare_drafts(tmp_path, reference, candidate))

    assert (0, "initial_weights", None) == (found.step, found.stage, found.tensor)
    assert "0" * 16 == found.candidate


def test_all_tensors_that_differ_are_counted_and_the_models_first_is_named(tmp_path: Path) -> None:
    """Of several differing parameters the first in the model's order is named."""
    candidate = draft()
    for tensor in TENSORS[1:]:
        candidate.tensor(4, tensor)["gradient"] ^= 1
    found = difference(tmp_path, candidate)

    assert (TENSORS[1], 2) == (found.tensor, found.tensors_differing)


@pytest.mark.parametrize("stage", ["batch_content", "rng", "loss"])
def test_a_micro_batch_is_named(tmp_path: Path, stage: str) -> None:
    """A value of a micro-batch is found at its step and its place within the step."""
    candidate = draft()
    row = candidate.micro_batch(5, 2)
    row[stage] = math.nextafter(row[stage], 1) if stage == "loss" else row[stage] ^ 1
    found = difference(tmp_path, candidate)

    assert (5, 2, stage) == (found.step, found.micro_batch, found.stage)


@pytest.mark.parametrize(
    ("column", "name"), [("rng_python", "Python's generator"), ("rng_numpy", "NumPy's generator")]
)
def test_a_generator_counts_only_if_it_is_drawn_from(
    tmp_path: Path, column: str, name: str
) -> None:
    """Many scripts do not seed it; without a draw its state has no effect."""
    candidate = draft()
    for row in candidate.rows["micro_batches"]:
        row[column] += 1
    unused = compare_drafts(tmp_path / "unused", draft(), candidate)
    candidate.micro_batch(5, 2)[column] += 1
    used = compare_drafts(tmp_path / "used", draft(), candidate)

    assert ("identical", "different") == (unused.outcome, used.outcome)
    first = first_of(used)
    assert (1, "rng", f"the state of {name}") == (first.step, first.stage, first.detail)


def test_a_generator_from_which_no_pass_draws_has_no_effect(tmp_path: Path) -> None:
    """Its state may differ; with one pass that draws, it counts."""
    outcomes = []
    for draws in (False, True):
        runs = [evident(), evident()]
        for made in runs:
            for row in made.rows["circumstances"]:
                row["draws"] = False
        runs[1].rows["circumstances"][-1]["draws"] = draws
        for row in runs[1].rows["micro_batches"]:
            row["rng"] ^= 1
        outcomes.append(compare_drafts(tmp_path / str(draws), *runs).outcome)

    assert ["identical", "different"] == outcomes


def test_another_order_of_rows_is_data_order(tmp_path: Path) -> None:
    """The same rows in another order within a micro-batch are another order."""
    candidate = draft()
    candidate.micro_batch(2)["sample_ids"].reverse()
    found = difference(tmp_path, candidate)

    assert (2, 1, "data_order") == (found.step, found.micro_batch, found.stage)
    assert found.reference == found.candidate[::-1]


@pytest.mark.parametrize("step", [2, STEPS])
@pytest.mark.parametrize("run", ["reference", "candidate"])
def test_an_extra_micro_batch_is_data_order_at_its_step(
    tmp_path: Path, run: str, step: int
) -> None:
    """A micro-batch that only one run has in a step that both took is a difference of data."""
    drafts = {"reference": draft(), "candidate": draft()}
    rows = drafts[run].rows["micro_batches"]
    extra = {**drafts[run].micro_batch(step), "micro_batch": MICRO_BATCHES + 1}
    rows.insert(step * MICRO_BATCHES, extra)
    drafts[run].recount()
    found = first_of(compare_drafts(tmp_path, **drafts))

    assert (step, MICRO_BATCHES + 1) == (found.step, found.micro_batch)
    assert "data_order" == found.stage
    values = {"reference": found.reference, "candidate": found.candidate}
    assert extra["sample_ids"] == values.pop(run)
    assert [None] == list(values.values())


@pytest.mark.parametrize("rates", [[5e-5, 1e-5], [], [math.nextafter(5e-5, 1)], [-0.0]])
def test_other_learning_rates_are_found(tmp_path: Path, rates: list[float]) -> None:
    """Rates differ by number, by one bit of one of them, and by the sign of a zero."""
    reference, candidate = draft(), draft()
    reference.step(3)["learning_rate"] = [0.0] if rates == [-0.0] else [5e-5]
    candidate.step(3)["learning_rate"] = rates
    found = first_of(compare_drafts(tmp_path, reference, candidate))

    assert (3, "learning_rate") == (found.step, found.stage)
    assert rates == found.candidate


@pytest.mark.parametrize(("trace", "stage"), [("steps", "grad_norm"), ("micro_batches", "loss")])
def test_negative_zero_is_not_zero(tmp_path: Path, trace: str, stage: str) -> None:
    """Numbers are compared by their bits, so the sign of a zero counts."""
    reference, candidate = draft(), draft()
    reference.rows[trace][2][stage], candidate.rows[trace][2][stage] = 0.0, -0.0
    found = first_of(compare_drafts(tmp_path, reference, candidate))

    assert (stage, 0.0) == (found.stage, found.max_ulp)
    assert (1.0, -1.0) == (math.copysign(1, found.reference), math.copysign(1, found.candidate))


def test_a_value_in_one_run_only_is_found_at_its_step(tmp_path: Path) -> None:
    """A digest that one run lacks differs there, and nowhere before."""
    candidate = draft()
    candidate.step(4)["weights"] = None
    found = difference(tmp_path, candidate)

    assert (4, "weights") == (found.step, found.stage)


def test_fewer_steps_are_a_step_count(tmp_path: Path) -> None:
    """A completed run that stops a step early diverges at the step it did not take."""
    candidate = draft()
    candidate.cut(STEPS - 1)
    found = difference(tmp_path, candidate)

    assert (STEPS, "step_count") == (found.step, found.stage)
    assert (STEPS, STEPS - 1) == (found.reference, found.candidate)


def test_a_tensor_that_differs_after_the_last_common_step_does_no_harm(tmp_path: Path) -> None:
    """A tensor trace that is longer than the steps is still compared, and nothing is raised."""
    reference, candidate = draft(), draft()
    for made in (reference, candidate):
        made.rows["steps"].pop()
    candidate.tensor(STEPS, TENSORS[0])["weight"] ^= 1

    assert "identical" != compare_drafts(tmp_path, reference, candidate).outcome


@pytest.mark.parametrize(
    "changed",
    [
        evaluation(STEPS).model_copy(update={"rows": 7}),
        evaluation(STEPS, accuracy=0.75),
        evaluation(STEPS, precision=1.0),
    ],
    ids=["rows", "value", "metrics"],
)
def test_another_evaluation_is_found(tmp_path: Path, changed: Any) -> None:
    """The evaluation differs in its rows, in a value, or in which metrics it has."""
    found = difference(tmp_path, draft(evaluations=(changed,)))

    assert (STEPS, "evaluation") == (found.step, found.stage)
    assert {"rows": changed.rows, **changed.metrics} == found.candidate


def test_the_order_in_which_metrics_are_named_is_no_difference(tmp_path: Path) -> None:
    """The same metrics with the same values are the same evaluation."""
    metrics = evaluation(STEPS).metrics
    turned = evaluation(STEPS).model_copy(update={"metrics": dict(reversed(metrics.items()))})

    assert "identical" == compare_drafts(tmp_path, draft(), draft(evaluations=(turned,))).outcome


def test_the_earliest_step_wins_over_the_earlier_stage(tmp_path: Path) -> None:
    """A late stage of step 2 comes before an early stage of step 3."""
    candidate = draft()
    candidate.micro_batch(3)["rng"] ^= 1
    candidate.step(2)["optimizer_state"] ^= 1
    found = difference(tmp_path, candidate)

    assert (2, "optimizer_state") == (found.step, found.stage)


def spoil_stage(made: Draft, stage: str, step: int) -> None:
    if stage == "evaluation":
        made.header["evaluations"] = (evaluation(step, accuracy=0.5),)
    elif stage == "data_order":
        made.micro_batch(step)["sample_ids"].reverse()
    elif stage in ("batch_content", "rng"):
        made.micro_batch(step)[stage] ^= 1
    elif stage == "loss":
        made.micro_batch(step)[stage] += 1
    elif stage == "grad_norm":
        made.step(step)[stage] += 1
    elif stage == "learning_rate":
        made.step(step)[stage][0] += 1
    else:
        made.step(step)[stage] ^= 1


WITHIN_A_STEP = [s for s in STAGES if s not in ("config", "initial_weights", "step_count")]


@pytest.mark.parametrize("stage", WITHIN_A_STEP)
def test_within_a_step_the_earliest_stage_wins(tmp_path: Path, stage: str) -> None:
    """Where all stages from one on differ at the same step, that one is the first."""
    candidate = draft()
    for later in WITHIN_A_STEP[WITHIN_A_STEP.index(stage) :]:
        spoil_stage(candidate, later, STEPS)
    found = difference(tmp_path, candidate)

    assert (STEPS, stage) == (found.step, found.stage)


def test_every_stage_counts_what_differs(tmp_path: Path) -> None:
    """A stage reports how many of its values differ, not only which was first."""
    candidate = draft()
    for step in (2, 5):
        candidate.micro_batch(step)["rng"] ^= 1
    pair = draft().write(tmp_path / "one"), candidate.write(tmp_path / "two")
    counts = {found.stage: (found.differing, found.compared) for found in compare_stages(*pair)}

    assert (2, STEPS * MICRO_BATCHES) == counts.pop("rng")
    assert {0} == {differing for differing, _ in counts.values()}


def test_a_thinned_tensor_trace_agrees_with_a_whole_one(tmp_path: Path) -> None:
    """`tensors_every` states which steps a trace leaves out; the steps' own digests cover them."""
    thin = draft(tensors_every=2)
    thin.rows["tensors"] = [r for r in thin.rows["tensors"] if r["step"] in (0, 1, 2, 4, 6)]

    assert "identical" == compare_drafts(tmp_path, draft(), thin).outcome
    thin.step(3)["weights"] ^= 1
    found = difference(tmp_path, thin)
    assert (3, "weights", None) == (found.step, found.stage, found.tensor)
