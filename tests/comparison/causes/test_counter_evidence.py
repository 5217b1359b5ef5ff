"""Counter-evidence: each case is named without it, and not named with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.causes import table
from harness.comparison.causes.cause import CounterEvidence
from harness.comparison.causes.table import TABLE
from harness.results.record import Observation, OptimizerSeen
from tests.support.evidence import evident, scale_gradients
from tests.support.records import STEPS, Draft, compare_drafts, evaluation

Spoil = Callable[[Draft, Draft], None]
"""Changes a reference and a candidate."""


def observe(made: Draft, what: str, step: int, value: float | None = None) -> None:
    seen = made.header.setdefault("observed", {})
    seen[what] = [Observation(step=step, value=value)]


def setting(name: str, reference: Any, candidate: Any) -> Spoil:
    """Both runs have a setting."""

    def spoil(one: Draft, two: Draft) -> None:
        one.header["settings"][name], two.header["settings"][name] = reference, candidate

    return spoil


def recipe(made: Draft, **fields: Any) -> None:
    spec = made.header["spec"]
    own = spec.recipe.model_copy(update=fields)
    case = spec.case.model_copy(update={"recipe": own})
    made.header["spec"] = spec.model_copy(update={"recipe": own, "case": case})


def differ(made: Draft, trace: str, column: str, step: int = 1) -> None:
    """From a step on, a digest or a loss differs."""
    for row in made.rows[trace]:
        if row["step"] >= step:
            row[column] = row[column] + 0.25 if column == "loss" else row[column] ^ 1


def weights(made: Draft, step: int = 1) -> None:
    differ(made, "steps", "weights", step)
    differ(made, "tensors", "weight", step)


def rows(made: Draft, order: Callable[[int], int]) -> None:
    for row in made.rows["micro_batches"]:
        row["sample_ids"] = [order(number) for number in row["sample_ids"]]


def leftover(one: Draft, two: Draft) -> None:
    observe(two, "gradients_left_over", 2, 1.0)
    differ(two, "steps", "gradients", 2)
    differ(two, "tensors", "gradient", 2)


def logs(one: Draft, two: Draft) -> None:
    for made, loss in ((one, 0.5), (two, 0.25)):
        made.rows["logged"] = [{"step": 3, "loss": loss}]


def logs_twice(one: Draft, two: Draft) -> None:
    two.rows["logged"].append({"step": 3, "loss": 0.125})


def evaluation_mode(one: Draft, two: Draft) -> None:
    observe(two, "trained_in_evaluation_mode", 1)
    differ(two, "micro_batches", "loss")
    for row in two.rows["circumstances"]:
        row["training"] = False


def in_training_mode_there(one: Draft, two: Draft) -> None:
    """The loss differs in a step before the first one in evaluation mode."""
    observe(two, "trained_in_evaluation_mode", 4)
    for row in two.rows["circumstances"]:
        row["training"] = row["step"] < 4


def evaluates(one: Draft, two: Draft) -> None:
    for row in two.rows["circumstances"]:
        if (row["step"], row["micro_batch"]) == (4, 1):
            row["passes_before"] = 2
    differ(two, "micro_batches", "rng", 4)


def padded_rows(one: Draft, two: Draft) -> None:
    """20 rows in batches of 12, and 24 of them with the rows that fill the last one."""
    for made, count in ((one, 20), (two, 24)):
        recipe(made, eval_batch_size=12)
        made.header["evaluations"] = (evaluation(STEPS).model_copy(update={"rows": count}),)


def larger_set(one: Draft, two: Draft) -> None:
    """The training set has 48 rows, not 24, and so none of the evaluations has as many."""
    for made in (one, two):
        made.header["epochs"] = 1.0


def one_rate(one: Draft, two: Draft) -> None:
    planned = {"steps": STEPS, "sum": 1.0, "at": {"1": 1.0, "6": 0.1}}
    setting("schedule", planned, planned)(one, two)
    for row in two.rows["steps"]:
        row["learning_rate"] = [5e-5]


def one_step_ahead(one: Draft, two: Draft) -> None:
    rates = [row["learning_rate"] for row in one.rows["steps"]]
    for row, ahead in zip(two.rows["steps"], [*rates[1:], [0.0]], strict=True):
        row["learning_rate"] = ahead


def resumed(at: int) -> Spoil:
    def spoil(one: Draft, two: Draft) -> None:
        two.header["resumed_from"] = (at,)

    return spoil


def unclipped(one: Draft, two: Draft) -> None:
    for row in two.rows["norms"]:
        row["applied"] = row["gradient"]
    weights(two)


def clips_nothing(one: Draft, two: Draft) -> None:
    unclipped(one, two)
    observe(two, "clipped_without_gradients", 1)


def doubled(one: Draft, two: Draft) -> None:
    scale_gradients(two, 2.0)
    observe(two, "loss_scaled", 1, 2.0)


def wider(one: Draft, two: Draft) -> None:
    differ(two, "micro_batches", "batch_content")
    for row in two.rows["circumstances"]:
        row["shape"] = [4, 16]


def other_tokens(one: Draft, two: Draft) -> None:
    for row in two.rows["micro_batches"]:
        row["rows"] = [digest ^ 1 for digest in row["rows"]]


def in_workers(one: Draft, two: Draft) -> None:
    setting("loader.num_workers", 0, 2)(one, two)
    setting("collator.draws", 3, 3)(one, two)
    differ(two, "micro_batches", "batch_content")


def drawn_before(one: Draft, two: Draft) -> None:
    setting("rng.draws_at_watch", 0, 4)(one, two)
    setting("rng.draws_since_seed", 2, 6)(one, two)
    differ(two, "micro_batches", "rng")


def built_without_a_second_seed(one: Draft, two: Draft) -> None:
    for made in (one, two):
        recipe(made, reseed_after_build=False)
    setting("rng.draws_at_watch", None, 0)(one, two)
    setting("rng.draws_since_seed", None, 2)(one, two)
    differ(two, "micro_batches", "rng")


def seeded_again(one: Draft, two: Draft) -> None:
    for made in (one, two):
        recipe(made, reseed_after_build=True)


def another_order(one: Draft, two: Draft) -> None:
    setting("loader.sampler", "a generator of its own", "the global generator")(one, two)
    rows(two, lambda number: (number * 7 + 3) % 24)


def reversed_order(one: Draft, two: Draft) -> None:
    order = [row for made in one.rows["micro_batches"][:6] for row in made["sample_ids"]]
    again = iter(order[::-1])
    for made in two.rows["micro_batches"][:6]:
        made["sample_ids"] = [next(again) for _ in made["sample_ids"]]


def not_shuffled(one: Draft, two: Draft) -> None:
    for number, row in enumerate(two.rows["micro_batches"]):
        row["sample_ids"] = [(number * 4 + place) % 24 for place in range(4)]


def both_in_order(one: Draft, two: Draft) -> None:
    not_shuffled(two, one)


def one_order(one: Draft, two: Draft) -> None:
    made = two.rows["micro_batches"]
    for row, again in zip(made[: len(made) // 2], made[len(made) // 2 :], strict=True):
        again["sample_ids"] = row["sample_ids"]


def a_row_twice(one: Draft, two: Draft) -> None:
    first = two.micro_batch(2)["sample_ids"]
    two.micro_batch(2)["sample_ids"] = [first[0], *first[:-1]]


def a_shorter_pass(one: Draft, two: Draft) -> None:
    """All rows but the last one, and then the first one again, as the next pass begins."""
    rows = [row for each in one.rows["micro_batches"] for row in each["sample_ids"]]
    for place, each in enumerate(two.rows["micro_batches"]):
        size = len(each["sample_ids"])
        each["sample_ids"] = [*rows[:-1], rows[0]][place * size : (place + 1) * size]


def a_step_missing(one: Draft, two: Draft) -> None:
    two.cut(5)
    two.header["steps_expected"] = 5


def at_step_4(column: str, trace: str = "micro_batches") -> Spoil:
    def spoil(one: Draft, two: Draft) -> None:
        resumed(3)(one, two)
        differ(two, trace, column, 4)

    return spoil


def without_state(one: Draft, two: Draft) -> None:
    resumed(3)(one, two)
    weights(two, 4)
    observe(two, "optimizer_without_state", 4)


def both_without_state(one: Draft, two: Draft) -> None:
    observe(one, "optimizer_without_state", 4)


def begins_again(one: Draft, two: Draft) -> None:
    resumed(3)(one, two)
    for step in (4, 5, 6):
        two.step(step)["learning_rate"] = one.step(step - 3)["learning_rate"]


def stops(one: Draft, two: Draft) -> None:
    two.cut(4)


def constant_rates(one: Draft, two: Draft) -> None:
    for row in (*one.rows["steps"], *two.rows["steps"]):
        row["learning_rate"] = [5e-5]


def earlier_weights(one: Draft, two: Draft) -> None:
    observe(two, "weights_changed_outside_update", STEPS)
    two.step(STEPS)["weights"] = two.step(2)["weights"]


def three_equal_evaluations(one: Draft, two: Draft) -> None:
    for made in (one, two):
        made.header["evaluations"] = tuple(evaluation(step) for step in (2, 4, STEPS))


def another_head(one: Draft, two: Draft) -> None:
    two.header["initial_weights"] = "0" * 16
    two.tensor(0, "classifier.weight")["weight"] ^= 1


def another_body(one: Draft, two: Draft) -> None:
    two.tensor(0, "embedding.weight")["weight"] ^= 1


def other_rounding(one: Draft, two: Draft) -> None:
    for row in two.rows["steps"][1:]:
        row["learning_rate"] = [row["learning_rate"][0] * (1 + 2**-50)]


def two_optimizers(one: Draft, two: Draft) -> None:
    """As those of a generator and its critic."""
    for made in (one, two):
        made.header["optimizers"] = tuple(
            OptimizerSeen(rule=rule, parameters=2, steps=STEPS) for rule in "AB"
        )


def tf32_where_compiled(one: Draft, two: Draft) -> None:
    """The loss differs by a thousandth."""
    setting("flags.tf32", False, True)(one, two)
    for made in (one, two):
        recipe(made, compile="inductor")
    for row in two.rows["micro_batches"]:
        row["loss"], row["task_loss"] = row["loss"] * 1.001, row["task_loss"] * 1.001


def loss_doubled(one: Draft, two: Draft) -> None:
    for row in two.rows["micro_batches"]:
        row["loss"], row["task_loss"] = row["loss"] * 2, row["task_loss"] * 2


def not_compiled(one: Draft, two: Draft) -> None:
    for made in (one, two):
        recipe(made, compile=None)


OTHER_SEED = setting("rng.seed", 42, 43)
CASES: list[tuple[str, Spoil, Spoil]] = [
    ("forgot-zero-grad", leftover, setting("optimizer.without", [], ["layer.weight"])),
    ("forgot-zero-grad", leftover, two_optimizers),
    ("forgot-zero-grad", leftover, lambda one, two: differ(two, "tensors", "gradient")),
    ("wrong-loss-logged", logs, logs_twice),
    ("forgot-train-mode", evaluation_mode, in_training_mode_there),
    (
        "eval-consumes-rng",
        evaluates,
        lambda one, two: observe(two, "evaluated_in_training_mode", 3),
    ),
    ("schedule-never-steps", one_rate, setting("schedule", None, None)),
    (
        "schedule-never-steps",
        one_rate,
        setting("schedule", None, {"steps": 6, "sum": 1.0, "at": {"1": 1.0, "6": 1.0}}),
    ),
    ("schedule-off-by-one", one_step_ahead, lambda one, two: two.header.update(resumed_from=(0,))),
    ("schedule-rounding", other_rounding, setting("optimizer.learning_rate", 1e-5, 2e-5)),
    (
        "hidden-clip",
        unclipped,
        lambda one, two: observe(two, "gradients_changed_after_update", 1),
    ),
    (
        "hidden-clip",
        unclipped,
        lambda one, two: observe(two, "clipped_without_gradients", 1),
    ),
    ("hidden-clip", unclipped, setting("clip.kind", "norm", "norm")),
    (
        "clip-without-gradients",
        clips_nothing,
        lambda one, two: observe(two, "gradients_changed_after_update", 1),
    ),
    ("loss-scaled", doubled, lambda one, two: observe(two, "loss_scaled", 1, 1.5)),
    ("padding-differs", wider, setting("collator.draws", 3, 3)),
    ("padding-differs", wider, other_tokens),
    ("collator-draws-in-workers", in_workers, setting("collator.draws", 0, 0)),
    ("collator-draws-in-workers", in_workers, OTHER_SEED),
    ("numbers-drawn-before-training", drawn_before, OTHER_SEED),
    ("numbers-drawn-before-training", drawn_before, setting("rng.draws_since_seed", 2, 2)),
    ("numbers-drawn-before-training", drawn_before, built_without_a_second_seed),
    ("reseeded-after-build", built_without_a_second_seed, seeded_again),
    ("reseeded-after-build", built_without_a_second_seed, OTHER_SEED),
    ("sampler-differs", another_order, OTHER_SEED),
    ("sampler-differs", another_order, reversed_order),
    ("sampler-differs", another_order, not_shuffled),
    (
        "sampler-differs",
        another_order,
        setting("loader.sampler", "the global generator", "the global generator"),
    ),
    ("not-shuffled", not_shuffled, both_in_order),
    ("same-order-every-epoch", one_order, lambda one, two: one_order(two, one)),
    ("sample-repeated", a_row_twice, a_step_missing),
    ("sample-repeated", a_row_twice, a_shorter_pass),
    ("resume-reorders", at_step_4("batch_content"), OTHER_SEED),
    ("resume-generators", at_step_4("rng"), OTHER_SEED),
    ("resume-without-optimizer", without_state, both_without_state),
    ("resume-without-schedule", begins_again, setting("schedule", {"sum": 1.0}, {"sum": 2.0})),
    ("ends-early", stops, constant_rates),
    ("earlier-weights-loaded", earlier_weights, three_equal_evaluations),
    ("compile-turns-on-tf32", tf32_where_compiled, loss_doubled),
    ("compile-turns-on-tf32", tf32_where_compiled, not_compiled),
    ("compile-turns-on-tf32", tf32_where_compiled, setting("flags.tf32", True, True)),
    ("head-drawn-before-seed", another_head, another_body),
    ("head-drawn-before-seed", another_head, setting("weights.dtype", {"float32": 3}, {"a": 3})),
]


def causes(folder: Path, *spoils: Spoil) -> list[str]:
    one, two = evident(), evident()
    for spoil in spoils:
        spoil(one, two)
    for made in (one, two):
        known = made.header["settings"]
        made.header["settings"] = {n: v for n, v in known.items() if v is not None}
    return [cause.id for cause in compare_drafts(folder, one, two).causes]


@pytest.mark.parametrize(
    ("cause", "spoil", "counter"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_counter_evidence_removes_a_name(
    cause: str, spoil: Spoil, counter: Spoil, tmp_path: Path
) -> None:
    assert cause in causes(tmp_path / "without", spoil)
    assert cause not in causes(tmp_path / "with", spoil, counter)


def test_tf32_in_a_compiled_run_is_a_fact_and_a_cause(tmp_path: Path) -> None:
    """With both values; the run that computes in TF32 is named first."""
    for name, spoils in (("candidate", ()), ("reference", (setting("flags.tf32", True, False),))):
        one, two = evident(), evident()
        for spoil in (tf32_where_compiled, *spoils):
            spoil(one, two)
        found = compare_drafts(tmp_path / name, one, two)
        other = "reference" if name == "candidate" else "candidate"
        (cause,) = found.causes
        assert (
            f"torch.backends.cuda.matmul.allow_tf32 is True in {name}, which compiles its model, "
            f"and False in {other}"
        ) == cause.evidence
        values = ("on", "off") if name == "candidate" else ("off", "on")
        expected = f"TF32 in matrix products: {values[0]} against {values[1]}"
        assert [expected] == [fact.text for fact in found.facts if fact.explains_first]


def test_an_evaluation_of_the_training_set_is_no_padded_one(tmp_path: Path) -> None:
    """24 rows are the 20 rows filled up to batches of 12, and as many as the training set has."""
    assert "eval-duplicates" in causes(tmp_path / "48", padded_rows, larger_set)
    assert "eval-duplicates" not in causes(tmp_path / "24", padded_rows)


@pytest.mark.parametrize(("steps_per_update", "named"), [(2, True), (None, False)])
def test_a_prepared_schedule_of_any_shape_is_known_by_its_steps(
    steps_per_update: int | None, named: bool, tmp_path: Path
) -> None:
    """By hand: the rate falls to a tenth every 4 steps of the schedule, every 2 updates if two
    processes advance it."""
    one, two = evident(), evident()
    for made, per_fall in ((one, 4), (two, 2)):
        recipe(made, gradient_accumulation_steps=1)
        made.header["spec"] = made.header["spec"].model_copy(
            update={
                "case": made.header["spec"].case.model_copy(update={"world_size": 2}),
            }
        )
        for row in made.rows["steps"]:
            row["learning_rate"] = [5e-5 * 0.1 ** ((row["step"] - 1) // per_fall)]
    if steps_per_update is not None:
        two.header["settings"]["schedule.steps_per_update"] = steps_per_update
    found = [cause.id for cause in compare_drafts(tmp_path, one, two).causes]
    assert named == ("scheduler-steps-per-process" in found)


def test_every_row_states_its_counter_evidence() -> None:
    """Each in words, with the records that show it; no row has the same twice."""
    for row in TABLE:
        assert row.excluded_by, row.id
        assert len(row.excluded_by) == len({each.alternative for each in row.excluded_by})
        assert all(each.alternative and each.records for each in row.excluded_by)


@pytest.mark.parametrize("holds", [False, True])
def test_a_row_is_not_named_if_its_counter_evidence_holds(
    holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any row: the search asks each counter-evidence."""
    others = (
        CounterEvidence("never", "", lambda _: False),
        CounterEvidence("another", "", lambda _: holds),
    )
    row = next(row for row in TABLE if row.id == "forgot-zero-grad")
    monkeypatch.setattr(table, "TABLE", (replace(row, excluded_by=others),))
    assert (["forgot-zero-grad"] if not holds else []) == causes(tmp_path, leftover)
