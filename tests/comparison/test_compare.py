"""Only two complete, changing and equal traces are `identical`.

Each fault is planted in an otherwise equal pair, so the control of all of them is the first test.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.comparison.compare_folders import compare_pairs
from harness.results.comparison import incomparable
from harness.results.record import RunRecord
from tests.support.records import (
    STEPS,
    Draft,
    Spoil,
    compare_drafts,
    draft,
    evaluation,
    fake_digest,
    spec,
)


def every(trace: str, column: str, value: object) -> Spoil:
    """`value` in every row of a column."""
    return lambda made: [row.update({column: value}) for row in made.rows[trace]]


def header(**changes: object) -> Spoil:
    return lambda made: made.header.update(changes)


def at_step_3(trace: str, column: str, value: object) -> Spoil:
    """`value` in the first row of step 3."""
    return lambda made: next(row for row in made.rows[trace] if row["step"] == 3).update(
        {column: value}
    )


def empty_traces(made: Draft) -> None:
    made.rows.clear()


def without_micro_batches(step: int) -> Spoil:
    def spoil(made: Draft) -> None:
        rows = made.rows["micro_batches"]
        made.rows["micro_batches"] = [row for row in rows if row["step"] != step]
        made.recount()

    return spoil


NAN = float("nan")
# A fault that both runs share, and a part of the doubt that reports it.
FAULTS: dict[str, tuple[Spoil, str]] = {
    "nan loss": (at_step_3("micro_batches", "loss", NAN), "loss is nan at step 3"),
    "inf loss": (at_step_3("micro_batches", "loss", float("inf")), "loss is inf at step 3"),
    "nan in every loss": (every("micro_batches", "loss", NAN), "loss is nan at step 1"),
    "nan grad_norm": (at_step_3("steps", "grad_norm", NAN), "grad_norm is nan at step 3"),
    "nan metric": (
        header(evaluations=(evaluation(STEPS, accuracy=NAN),)),
        "final accuracy is nan",
    ),
    "missing loss": (at_step_3("micro_batches", "loss", None), "loss"),
    "missing grad_norm": (at_step_3("steps", "grad_norm", None), "grad_norm"),
    "missing weights digest": (at_step_3("steps", "weights", None), "weights"),
    "missing sample ids": (at_step_3("micro_batches", "sample_ids", None), "sample_ids"),
    "constant loss": (every("micro_batches", "loss", 0.5), "loss never changed"),
    "constant gradients": (every("steps", "gradients", 7), "gradients never changed"),
    "constant weights": (every("steps", "weights", 7), "weights never changed"),
    "constant state": (every("steps", "optimizer_state", 7), "optimizer_state never changed"),
    "unknown sample ids": (
        at_step_3("micro_batches", "sample_ids", [8, -1, 9, 10]),
        "not from the training set",
    ),
    "empty traces": (empty_traces, "only 0 steps recorded"),
    "one step": (lambda made: made.cut(1), "only 1 step recorded"),
    "truncated": (lambda made: made.cut(4), "recipe asks for 6"),
    "no micro-batches": (
        lambda made: made.rows.pop("micro_batches"),
        "not recorded in both runs: data_order, batch_content, rng, loss",
    ),
    "step 4 without micro-batches": (without_micro_batches(4), "incomplete: step 4 has none"),
    "last step without micro-batches": (without_micro_batches(STEPS), "incomplete: step 6"),
    "no evaluation": (header(evaluations=()), "was not evaluated"),
    "evaluation without metrics": (
        header(evaluations=(evaluation(STEPS).model_copy(update={"metrics": {}}),)),
        "evaluat",
    ),
    "no initial weights": (header(initial_weights=None), "initial_weights"),
    "failed": (header(status="failed", error="ValueError: boom"), "failed: ValueError: boom"),
    "interrupted": (header(status="interrupted"), "interrupted"),
    "reordered steps": (
        lambda made: made.rows["steps"].reverse(),
        "steps of its trace are out of order",
    ),
    "reordered micro-batches": (
        lambda made: made.rows["micro_batches"].reverse(),
        "micro-batches of its trace are out of order",
    ),
    "missing step": (
        lambda made: made.rows["steps"].pop(2),
        "steps of its trace are out of order or incomplete",
    ),
    "other count in the header": (header(steps=5), "its header counts 5 steps"),
}


def test_equal_records_are_identical_and_nothing_else(tmp_path: Path) -> None:
    """Control of every test below: two complete and equal records agree without a doubt."""
    found = compare_drafts(tmp_path, draft(), draft())

    assert "identical" == found.outcome
    assert STEPS == found.steps
    assert () == found.doubts
    assert found.first_divergence is None
    assert {0} == {stage.differing for stage in found.stages}
    assert {"identical"} == {f.outcome for f in found.findings if f.metric != "wall_s"} - {
        "inconclusive"
    }


def test_an_optimizer_without_state_is_no_doubt(tmp_path: Path) -> None:
    """As SGD without momentum: every parameter has the digest of nothing, 0."""
    pair = draft(), draft()
    for made in pair:
        every("steps", "optimizer_state", 7)(made)
        every("tensors", "optimizer_state", 0)(made)
    assert "identical" == compare_drafts(tmp_path, *pair).outcome


@pytest.mark.parametrize("fault", FAULTS)
def test_agreement_in_a_fault_is_no_verdict(tmp_path: Path, fault: str) -> None:
    """Two runs that share a fault agree in every value, and that proves nothing."""
    spoil, doubt_text = FAULTS[fault]
    reference, candidate = draft(), draft()
    spoil(reference)
    spoil(candidate)
    found = compare_drafts(tmp_path, reference, candidate)

    assert found.outcome in ("inconclusive", "incomparable")
    assert any(doubt_text in doubt for doubt in found.doubts), found.doubts


@pytest.mark.parametrize("run", ["reference", "candidate"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_run_is_not_identical(tmp_path: Path, fault: str, run: str) -> None:
    """The same fault in one run only is no agreement either: it is a doubt or a divergence."""
    spoil, doubt_text = FAULTS[fault]
    drafts = {"reference": draft(), "candidate": draft()}
    spoil(drafts[run])
    found = compare_drafts(tmp_path, **drafts)

    assert "identical" != found.outcome
    assert found.first_divergence is not None or any(doubt_text in doubt for doubt in found.doubts)


def test_other_workloads_are_incomparable_even_where_they_differ(tmp_path: Path) -> None:
    """Different values of two workloads are no finding about the loops."""
    other = draft()
    other.header["spec"] = spec(case="tiny").model_copy(
        update={"case": spec().case.model_copy(update={"workload": "mrpc"})}
    )
    other.micro_batch(1)["loss"] = 0.1
    found = compare_drafts(tmp_path, draft(), other)

    assert "incomparable" == found.outcome
    assert found.first_divergence is None
    assert any("workloads differ: paraphrase and mrpc" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("equal", [True, False])
def test_other_digest_algorithms_are_incomparable(tmp_path: Path, equal: bool) -> None:
    """Digests of two algorithms cannot be compared, whether or not they are equal."""
    other = draft(digest_algorithm="sha256")
    if not equal:
        other.header["initial_weights"] = f"{fake_digest('sha256'):016x}"
        for row in other.rows["steps"]:
            row["weights"] = fake_digest("sha256", row["step"])
    found = compare_drafts(tmp_path, draft(), other)

    assert "incomparable" == found.outcome
    assert any(
        "digest algorithms differ: 'xxh3_64' and 'sha256'" in doubt for doubt in found.doubts
    )


def timing_run() -> Draft:
    made = draft(spec=spec(observe="timing"), initial_weights=None)
    made.rows = {"timings": [{"step": s, "step_s": 0.1} for s in range(1, STEPS + 1)]}
    return made


@pytest.mark.parametrize("reference", [draft, timing_run])
def test_a_timing_run_is_incomparable(tmp_path: Path, reference: Callable[[], Draft]) -> None:
    """A run without values cannot agree, and did not take another number of steps either."""
    found = compare_drafts(tmp_path, reference(), timing_run())

    assert "incomparable" == found.outcome
    assert any("timing run and holds no values" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("trace", ["steps", "micro_batches", "tensors"])
def test_a_damaged_trace_is_incomparable(tmp_path: Path, trace: str) -> None:
    """A truncated trace is reported; its remaining rows are not compared."""
    reference = draft().write(tmp_path / "reference")
    candidate = draft().write(tmp_path / "candidate")
    path = candidate.folder / f"{trace}.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    found = compare(reference, RunRecord(candidate.folder), ("reference", "candidate"))

    assert "incomparable" == found.outcome
    assert any(str(path) in doubt for doubt in found.doubts)


def test_a_run_missing_from_one_folder_is_incomparable(tmp_path: Path) -> None:
    """A missing loop has its own comparison beside the loop that both folders have."""
    plain, trainer = draft().write(tmp_path / "plain"), draft("trainer").write(tmp_path / "trainer")
    left = {("tiny", "plain"): plain, ("tiny", "trainer"): trainer}
    found = compare_pairs(left, {("tiny", "plain"): plain}, ("old", "new"))

    assert ["identical", "incomparable"] == [pair.outcome for pair in found]
    assert ("new: trainer is missing; run it",) == found[1].doubts
    assert ["identical"] * 2 == [pair.outcome for pair in compare_pairs(left, left, ("a", "b"))]


@pytest.mark.parametrize("empty", ["old", "new"])
def test_a_folder_without_a_training_is_said_to_have_none(empty: str, tmp_path: Path) -> None:
    """No run of it is named, and nobody is asked to run it again."""
    full = {("tiny", "plain"): draft().write(tmp_path)}
    (found,) = compare_pairs(*((full, {}) if empty == "new" else ({}, full)), ("old", "new"))
    assert ("incomparable", (f"{empty} recorded no training",)) == (found.outcome, found.doubts)
    labels = {"old": ("old", "new: plain"), "new": ("old: plain", "new")}[empty]
    assert labels == (found.reference, found.candidate)


def test_two_empty_folders_give_no_comparison() -> None:
    """Without a comparison no verdict can be `equivalent`."""
    assert [] == compare_pairs({}, {}, ("old", "new"))


def test_an_incomparable_pair_states_its_reason() -> None:
    """The comparison with an absent run is `incomparable` and carries its reason."""
    found = incomparable("tiny", "plain", "trainer", "trainer was stopped")

    assert ("incomparable", ("trainer was stopped",)) == (found.outcome, found.doubts)


def test_a_failed_run_that_differs_earlier_is_different(tmp_path: Path) -> None:
    """A divergence before the failure is found, and the failure is still reported."""
    failed = draft(status="failed", error="ValueError: boom")
    failed.cut(4)
    failed.step(2)["weights"] ^= 1
    found = compare_drafts(tmp_path, draft(), failed)

    assert found.first_divergence is not None
    assert ("different", 2) == (found.outcome, found.first_divergence.step)
    assert any("candidate failed: ValueError: boom" in doubt for doubt in found.doubts)


def test_metrics_of_both_runs_are_findings(tmp_path: Path) -> None:
    """Exact metrics have an outcome, times have none; a ratio is candidate / reference."""
    candidate = draft(wall_s=4.0, evaluations=(evaluation(STEPS, accuracy=0.4375),))
    by_name = {f.metric: f for f in compare_drafts(tmp_path, draft(), candidate).findings}

    assert ("different", 0.5) == (by_name["accuracy"].outcome, by_name["accuracy"].ratio)
    assert ("identical", 1.0) == (by_name["f1"].outcome, by_name["f1"].ratio)
    assert ("inconclusive", 2.0) == (by_name["wall_s"].outcome, by_name["wall_s"].ratio)
    assert (24.0, 12.0) == (by_name["samples_per_s"].reference, by_name["samples_per_s"].candidate)


def test_an_incomplete_run_is_not_compared_in_evaluations_that_it_never_reached(
    tmp_path: Path,
) -> None:
    """Its end is no divergence; an evaluation before its end that differs is one."""
    whole, cut = draft(), draft(status="failed", error="killed")
    cut.cut(4)
    cut.header["evaluations"] = ()
    found = compare_drafts(tmp_path / "short", whole, cut)
    assert ("incomparable", None) == (found.outcome, found.first_divergence)

    whole.header["evaluations"] = (evaluation(2), evaluation(6))
    cut.header["evaluations"] = (evaluation(2, accuracy=0.5),)
    found = compare_drafts(tmp_path / "other", whole, cut)
    assert found.first_divergence is not None
    assert ("different", 2) == (found.outcome, found.first_divergence.step)
