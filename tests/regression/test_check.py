"""`harness check` on the command line: each planted change of facts, its list, its exit code.

The measurements are made up; `test_check_for_real.py` trains its loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.regression.baseline import locked
from tests.support.check_world import CASE, World, last_digits, sound
from tests.support.made_up_runs import PEAK_BYTES, made_up_draft
from tests.support.records import Draft


def test_unchanged_code_passes(world: World) -> None:
    """Exit code 0, verdict equivalent, one measurement; pages and terminal agree."""
    world.accept()
    assert 0 == world.check()
    assert "equivalent" == world.report["verdict"]
    assert {"unchanged"} == {item["listed"] for item in world.report["gate"]["items"]}
    assert 1 == world.report["gate"]["measurements"]
    assert "Nothing got worse" in world.output
    page = (world.folder / "out" / "report.md").read_text()
    assert "## Baseline" in page
    assert "Unchanged: " in page


def one_step(more: int) -> Callable[[Draft], None]:
    def plant(made: Draft) -> None:
        if more < 0:
            made.cut(5)
        else:
            extra = [{**row, "step": 7} for trace in ("steps",) for row in made.rows[trace][-1:]]
            made.rows["steps"] += [{**extra[0], "weights": 7, "gradients": 7}]
            made.rows["micro_batches"] += [
                {**row, "step": 7, "rng": 7} for row in made.rows["micro_batches"][-2:]
            ]
            made.rows["tensors"] += [{**row, "step": 7} for row in made.rows["tensors"][-3:]]
            made.recount()
        made.header["steps_expected"] = made.header["steps"]

    return plant


def one_sample(made: Draft) -> None:
    made.micro_batch(6, 2)["sample_ids"].append(1)
    made.recount()


def one_parameter(made: Draft) -> None:
    made.header["parameters"] += 1


def still_loss(made: Draft) -> None:
    for row in made.rows["micro_batches"]:
        row["loss"] = row["task_loss"] = 0.7


def zero_gradients(made: Draft) -> None:
    for row in made.rows["steps"]:
        row["grad_norm"] = 0.0


def other_order(made: Draft) -> None:
    made.micro_batch(2)["sample_ids"].reverse()


@pytest.mark.parametrize(
    ("plant", "metrics", "message"),
    [
        (one_step(1), {"steps"}, "steps: baseline 6, now 7"),
        (one_step(-1), {"steps", "samples"}, "steps: baseline 6, now 5"),
        (one_sample, {"samples", "data_order"}, "samples: baseline 48, now 49"),
        (one_parameter, {"parameters"}, "trained parameters: baseline 30, now 31"),
        (still_loss, {"soundness", "loss_trace"}, "loss never changed"),
        (zero_gradients, {"soundness", "grad_norm"}, "its gradients are zero at every step"),
        (other_order, {"data_order"}, "order of the rows: first difference at step 2"),
        (last_digits, {"loss_trace", "weights"}, "the size of rounding; other kernels"),
    ],
)
def test_a_planted_change_of_what_is_computed(
    plant: Callable[[Draft], None], metrics: set[str], message: str, world: World
) -> None:
    """Exit code 1; the loop's items are regressed, with the right words; the other loop's not."""
    world.accept()
    plant(world.drafts["trainer"])
    assert 1 == world.check()
    assert "regression" == world.report["verdict"]
    assert {("trainer", metric) for metric in metrics} <= world.listed("regressed")
    assert {"trainer"} == {loop for loop, _ in world.listed("regressed")}
    assert any(message in item["sentence"] for item in world.report["gate"]["items"])
    assert "Something got worse" in world.output


def test_the_first_differing_step_is_named(world: World) -> None:
    """With both values and the size, where it is a number."""
    world.accept()
    last_digits(world.drafts["plain"])
    world.check("--exact-only")
    assert (
        "loss of each step: first difference at step 3 (baseline 0.34375, now 0.343750034)"
        in world.words("loss_trace")
    )


@pytest.mark.parametrize(
    ("share", "code", "listed"),
    [(1.02, 1, "regressed"), (1.005, 0, "unchanged"), (0.9, 0, "improved")],
)
def test_memory_within_one_percent(share: float, code: int, listed: str, world: World) -> None:
    """2% more is a regression, half a percent is not, less is an improvement."""
    world.accept()
    world.peaks = {"plain": PEAK_BYTES, "trainer": PEAK_BYTES * share}
    assert code == world.check()
    assert ("trainer", "peak_allocated_bytes") in world.listed(listed)
    assert ("harness accept" in world.output) == (listed == "improved")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cpu": "another"}, "cpu_model"),
        ({"cores": 64}, "cores"),
        ({"python": "3.12.1"}, "python"),
        (
            {"versions": {"torch": "2.13.0", "transformers": "5.24.0", "accelerate": "1.15.0"}},
            "transformers",
        ),
    ],
)
def test_another_machine_or_minor_version(change: dict[str, Any], field: str, world: World) -> None:
    """Not comparable, exit code 4: the field is named with both values; facts are information."""
    world.accept()
    for made in world.drafts.values():
        made.header["environment"] |= change
    last_digits(world.drafts["trainer"])
    assert 4 == world.check()
    assert {("", "key")} == world.listed("not_comparable")
    (used,) = world.report["gate"]["baselines"]
    assert {field} == used["key_differences"].keys()
    before, now = used["key_differences"][field]
    assert f"{field}: baseline {before}, now {now}" in world.words("key")
    assert "for information only: trainer: loss of each step: first difference" in world.words(
        "key"
    )


def test_a_patch_version_of_a_library_is_comparable(world: World) -> None:
    """Comparable; where the last digits moved, its versions are named."""
    world.accept()
    for made in world.drafts.values():
        made.header["environment"]["versions"] = {
            "torch": "2.13.1", "transformers": "5.23.0", "accelerate": "1.15.0",
        }  # fmt: skip
    assert 0 == world.check("--exact-only")
    last_digits(world.drafts["plain"])
    (world.folder / "out").rename(world.folder / "before")
    assert 1 == world.check("--exact-only")
    assert "torch: baseline 2.13.0, now 2.13.1" in world.words("loss_trace")


def test_another_recipe_is_not_comparable(world: World) -> None:
    """The recipe's field is named."""
    world.accept()
    for made in world.drafts.values():
        case = made.header["spec"].case
        recipe = case.recipe.model_copy(update={"learning_rate": 1e-3})
        spec = made.header["spec"].model_copy(
            update={"case": case.model_copy(update={"recipe": recipe}), "recipe": recipe}
        )
        made.header["spec"] = spec
    assert 4 == world.check()
    assert "learning_rate: baseline 5e-05, now 0.001" in world.words("key")


def test_a_missing_loop_is_never_green(world: World) -> None:
    """Neither one that only the baseline has nor one that only the check has."""
    world.accept()
    del world.drafts["trainer"]
    assert 4 == world.check("--exact-only")
    assert ("trainer", "loop") in world.listed("missing")
    world.drafts = {**sound(), "accelerated": made_up_draft("accelerated", CASE)}
    (world.folder / "out").rename(world.folder / "before")
    assert 4 == world.check("--exact-only")
    assert ("accelerated", "loop") in world.listed("missing")


def test_a_renamed_case_and_an_empty_folder_are_missing(world: World) -> None:
    """Exit code 4 and the remedy; a folder that is not there is wrong use."""
    world.accept()
    assert 4 == world.check("vision")
    assert {("", "case")} == world.listed("missing")
    assert "no baseline of vision" in world.words("case")
    for path in world.baselines.glob("*.json"):
        path.unlink()
    (world.folder / "out").rename(world.folder / "before")
    assert 4 == world.check()
    for path in world.baselines.glob("*"):
        path.rename(world.folder / path.name)
    world.baselines.rmdir()
    assert 2 == world.check("--timeout", "9")
    assert "harness: --baseline takes a folder or file of baselines" in world.output


@pytest.mark.parametrize("spoil", [lambda text: text[:900], lambda text: text.replace("0.", "0.1")])
def test_a_damaged_file_is_one_line(spoil: Callable[[str], str], world: World) -> None:
    """Truncated or edited: exit code 2, nothing left behind."""
    path = world.accept()
    path.write_text(spoil(path.read_text()))
    assert 2 == world.check()
    assert 1 == world.output.count("harness: ")
    assert not (world.folder / "out").exists()


def test_two_checks_at_once(world: World) -> None:
    """The second is refused in a line."""
    world.accept()
    with locked(world.baselines):
        pass
    import threading

    held, done = threading.Event(), threading.Event()

    def first() -> None:
        with locked(world.baselines):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(60)
    try:
        assert 2 == world.check()
        assert "one check or accept at a time" in world.output
    finally:
        done.set()
        thread.join()
    assert 0 == world.check()


def test_a_run_that_failed_is_exit_code_3(world: World) -> None:
    """Whatever the other loops did."""
    world.accept()
    world.drafts["trainer"].header |= {"status": "failed", "error": "it fell"}
    assert 3 == world.check()
    assert "failed" == world.report["verdict"]
