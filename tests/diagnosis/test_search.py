"""The search for fields, on fake trainings: its results, their evidence and their cost."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.diagnosis.replay import Replays, ReplaysSpent, StepRange
from harness.diagnosis.search import FieldSearch
from harness.diagnosis.windows import WINDOW, differing_fields
from harness.results.explanation import Explanation
from harness.results.record import RunRecord
from harness.spec.recipe import Recipe
from tests.support.fake_training import World
from tests.support.records import spec

# Each differs from its default; the fake training uses a field only if its world names it.
CHANGED: dict[str, Any] = {
    "weight_decay": 0.01,
    "optimizer_flavour": "for_loop",
    "max_grad_norm": None,
    "sampler": "global",
    "eval_every": 5,
    "lr_schedule": "cosine",
    "momentum": 0.5,
}
INERT = {"momentum": 0.5, "warmup_ratio": 0.1}


def explain(
    world: World,
    folder: Path,
    changed: dict[str, Any],
    loop: str = "plain",
    max_replays: int | None = None,
    before: dict[str, Any] | None = None,
) -> tuple[Explanation, FieldSearch]:
    """Explain a candidate with `changed` fields against the reference; the checkpoints stay."""
    reference = world.run(folder / "reference", **(before or {}))
    candidate = world.run(folder / "candidate", loop, **changed)
    values = {
        n: both[0] for n, both in differing_fields(reference.run_spec, candidate.run_spec).items()
    }
    replays = Replays(
        reference, candidate.run_spec, values, folder / "replays", world.make, most=max_replays
    )
    replays.add_known(frozenset(), candidate)
    search = FieldSearch(("reference", "candidate"), reference, candidate, replays)
    with suppress(ReplaysSpent):
        search.run()
    return search.explanation, search


def fields(found: Explanation) -> list[str]:
    """The necessary fields, in the order of the explanation."""
    return [one.field for one in found.contributions]


def test_only_the_fields_that_matter_are_found(tmp_path: Path) -> None:
    """In the order in which they act, with the effect of each alone, and a whole run as proof."""
    world = World({"weight_decay": 3, "max_grad_norm": 1, "sampler": 2})
    found, search = explain(world, tmp_path, CHANGED)

    assert "explained" == found.outcome
    assert ["max_grad_norm", "sampler", "weight_decay"] == fields(found)
    assert (True, True, 12) == (found.minimal, found.whole, found.steps)
    assert [1, 2, 3] == [one.alone.step for one in found.contributions]
    assert [2, 3, None] == [one.left.step for one in found.contributions if one.left]
    assert all(one.alone.weights for one in found.contributions)
    assert search.proof is not None
    assert "completed" == search.proof.header.status
    assert 0 < found.cost.steps <= found.cost.limit


def test_runs_that_compute_the_same_need_no_explanation(tmp_path: Path) -> None:
    """Fields without effect are no difference; nothing is replayed."""
    found, _ = explain(World({}), tmp_path, CHANGED)
    assert ("identical", 0) == (found.outcome, found.cost.replays)


def test_fields_that_act_late_are_found_in_later_rounds(tmp_path: Path) -> None:
    """Each window covers a few steps from the divergence on and starts from a checkpoint, so that
    the cost grows with the fields and not with the steps before."""
    world = World({"sampler": 1, "lr_schedule": 200}, steps=300)
    found, _ = explain(world, tmp_path, CHANGED)

    assert ("explained", ["sampler", "lr_schedule"]) == (found.outcome, fields(found))
    assert [1, 200] == [one.alone.step for one in found.contributions]
    whole = [run for run in world.made if run.stop_after is None]
    assert 2 == len(whole)  # one proof per window
    late = [run for run in world.made if run.start_from is not None]
    assert late
    assert all(run.stop_after == 200 + WINDOW - 1 for run in late)
    assert found.cost.steps <= found.cost.limit


def test_a_late_difference_costs_one_replay_of_what_came_before(tmp_path: Path) -> None:
    """Step 200 of 300, seven switchable fields of which one acts: the steps are those up to the
    checkpoint, a short range for each experiment, and the proof."""
    changed = {
        "eval_every": 5, "lr_schedule": "cosine", "warmup_ratio": 0.1, "warmup_steps": 3,
        "eval_batch_size": 4, "drop_last": True, "loss_average": "sum",
    }  # fmt: skip
    world = World({"warmup_steps": 200}, steps=300)
    found, _ = explain(world, tmp_path, changed)

    assert ("explained", ["warmup_steps"]) == (found.outcome, fields(found))
    short = found.cost.replays - 2
    assert 199 + short * (WINDOW + 1) + 300 == found.cost.steps
    assert short <= 2 * 3 + 2  # two for each halving of seven, one with all, one in doubt
    assert found.cost.steps <= found.cost.limit
    assert found.cost.steps < 300 * found.cost.replays / 3


def test_a_field_that_a_checkpoint_holds_is_replayed_from_the_start(tmp_path: Path) -> None:
    """Weight decay is in the optimizer's groups: no replay takes it from another's checkpoint."""
    world = World({"weight_decay": 100}, steps=150, held=frozenset({"weight_decay"}))
    found, _ = explain(world, tmp_path, {**INERT, "weight_decay": 0.01})

    assert ("explained", ["weight_decay"]) == (found.outcome, fields(found))
    by_decay: dict[float, set[str | None]] = {}
    for run in world.made:
        if run.recipe.save_every is None and run.stop_after is not None:
            by_decay.setdefault(run.recipe.weight_decay, set()).add(run.start_from)
    assert not by_decay[0.0] & by_decay[0.01]


def test_a_resume_that_brings_back_a_field_misleads_nobody(tmp_path: Path) -> None:
    """If a loop's checkpoint holds a field that it should not, the proof from the first step shows
    it, and the search is repeated from there."""
    world = World({"eval_every": 100}, steps=150, held=frozenset({"eval_every"}))
    found, _ = explain(world, tmp_path, {**INERT, "eval_every": 5})
    assert ("explained", ["eval_every"]) == (found.outcome, fields(found))


@pytest.mark.parametrize("changed", [{}, INERT])
def test_code_is_not_blamed_on_a_field(tmp_path: Path, changed: dict[str, Any]) -> None:
    """With the same recipe, or with every field switched, the two still diverge at the fault."""
    found, _ = explain(World({}, faults={"faulty": 4}), tmp_path, changed, "faulty")

    assert ("code", []) == (found.outcome, fields(found))
    assert found.rest is not None
    assert (4, "weights") == (found.rest.step, found.rest.stage)
    assert (0 == found.cost.replays) == (not changed)


def test_fields_and_code_are_distinguished(tmp_path: Path) -> None:
    """Fields explain the steps before the fault only."""
    world = World({"sampler": 1, "weight_decay": 3}, faults={"faulty": 6})
    found, _ = explain(world, tmp_path, CHANGED, "faulty")

    assert ("code", ["sampler", "weight_decay"]) == (found.outcome, fields(found))
    assert found.rest is not None
    assert (6, 5, False) == (found.rest.step, found.steps, found.whole)


def test_a_fault_that_comes_with_a_field_hides_it(tmp_path: Path) -> None:
    """If both act at one step, the field is not named."""
    world = World({"sampler": 6}, faults={"faulty": 6})
    found, _ = explain(world, tmp_path, CHANGED, "faulty")
    assert ("code", []) == (found.outcome, fields(found))


def test_a_reference_that_does_not_repeat_itself_blames_nothing(tmp_path: Path) -> None:
    """Another machine, or chance: it is reported, and there is no verdict."""
    found, _ = explain(World({"sampler": 1}, unsteady=True), tmp_path, CHANGED)
    assert ("unfinished", []) == (found.outcome, fields(found))
    assert "does not repeat its own record" in found.notes[0]


def test_a_field_that_the_loop_refuses_is_left_as_it_is(tmp_path: Path) -> None:
    """It is named with the loop's message; the others are searched without it."""
    world = World({"sampler": 1}, refused={"loss_average": "model"})
    before = {"loss_average": "model", "sampler": "global"}
    found, _ = explain(world, tmp_path, INERT, "picky", before=before)

    assert ("explained", ["sampler"]) == (found.outcome, fields(found))
    assert {"loss_average": "picky takes no loss_average=model"} == found.refused


def test_a_number_of_replays_ends_the_search_with_what_is_known(tmp_path: Path) -> None:
    """The sufficient set so far is reported as not minimal; no replay exceeds the number."""
    world = World({"sampler": 1, "weight_decay": 1})
    found, _ = explain(world, tmp_path, CHANGED, max_replays=6)

    assert ("unfinished", False) == (found.outcome, found.minimal)
    assert {"sampler", "weight_decay"} < set(fields(found)) <= set(CHANGED)
    assert 0 < found.cost.replays <= 6


def test_an_earlier_try_is_gone_on_with(tmp_path: Path) -> None:
    """The same search in the same folder replays nothing again."""
    world = World({"sampler": 1, "lr_schedule": 60}, steps=100)
    first, search = explain(world, tmp_path, CHANGED)
    search._replays.clear()
    again, _ = explain(world, tmp_path, CHANGED)

    assert (0, first.cost.replays) == (again.cost.replays, again.cost.reused)
    assert first.contributions == again.contributions


def test_a_lost_checkpoint_is_written_again(tmp_path: Path) -> None:
    """Records of replays stay without their checkpoints; a needed checkpoint is made again."""
    world = World({"lr_schedule": 60}, steps=100)
    reference = world.run(tmp_path / "reference")
    candidate = world.run(tmp_path / "candidate", lr_schedule="cosine", eval_every=5)
    values = {
        n: both[0] for n, both in differing_fields(reference.run_spec, candidate.run_spec).items()
    }

    def made(*subsets: set[str]) -> int:
        world.made.clear()
        replays = Replays(reference, candidate.run_spec, values, tmp_path / "replays", world.make)
        for subset in subsets:
            replays.replay([frozenset(subset)], StepRange(last=69, start=58))
        replays.clear()
        return len(world.made)

    assert 2 == made({"lr_schedule"})  # up to the checkpoint, and from there
    assert 0 == made({"lr_schedule"})
    assert 2 == made({"lr_schedule"}, {"lr_schedule", "eval_every"})


def test_differing_fields_and_options_are_found() -> None:
    """Fields in a checkpoint come first, and workload options after the recipe."""
    one = spec()
    case = one.case.model_copy(update={"options": {"data": "elsewhere"}})
    recipe = Recipe(**{**one.recipe.model_dump(), "max_grad_norm": None, "weight_decay": 0.1})
    two = one.model_copy(update={"case": case, "recipe": recipe})
    assert {
        "weight_decay": (0.0, 0.1),
        "data": (None, "elsewhere"),
        "max_grad_norm": (1.0, None),
    } == differing_fields(one, two)
    assert ["weight_decay", "data", "max_grad_norm"] == list(differing_fields(one, two))


def test_the_fake_training_is_no_fake(tmp_path: Path) -> None:
    """Control: runs differ from the step on at which a field acts."""
    world = World({"sampler": 4})
    one, two = world.run(tmp_path / "one"), world.run(tmp_path / "two", sampler="global")
    weights = [record.steps["weights"].to_pylist() for record in (one, two)]
    assert weights[0][:3] == weights[1][:3]
    assert weights[0][3] != weights[1][3]
    assert isinstance(one, RunRecord)
