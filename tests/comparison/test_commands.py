"""Pairs with the record of a command: what it lacks is named, what differs is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare_folders import compare_folders
from harness.comparison.noise.case_noise import CaseNoise
from harness.report.text.causes import unexplained
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison
from harness.results.header import Observation, OptimizerSeen
from tests.support.evidence import evident
from tests.support.records import (
    STEPS,
    TENSORS,
    Draft,
    command_draft,
    compare_drafts,
    divided,
    draft,
    renamed,
    write_run_folder,
)


def first_of(found: Comparison) -> tuple[int, str]:
    assert "different" == found.outcome, found.doubts
    assert found.first_divergence is not None
    return found.first_divergence.step, found.first_divergence.stage


def test_two_commands_with_equal_values_are_identical(tmp_path: Path) -> None:
    """Although neither was evaluated, which is stated with the outcome and is no doubt."""
    found = compare_drafts(tmp_path, command_draft("one"), command_draft("two"))
    assert ("identical", ()) == (found.outcome, found.doubts)
    assert ("evaluation",) == found.not_recorded
    assert sentence(found).endswith(
        "identical, bit for bit, at all 6 steps, without evaluation (which the trace of a command "
        "does not record)"
    )


@pytest.mark.parametrize(
    ("column", "stage"),
    [("rows", "data_order"), ("batch_content", "batch_content"), ("rng", "rng"), ("loss", "loss")],
)
def test_any_value_of_a_command_counts(tmp_path: Path, column: str, stage: str) -> None:
    """The controls: one value of a micro-batch differs."""
    candidate = command_draft()
    row = candidate.micro_batch(3)
    row[column] = [9] * 4 if column == "rows" else row[column] + 1
    found = compare_drafts(tmp_path, command_draft(), candidate)
    assert (3, stage) == first_of(found)
    assert () == found.causes


def test_a_loop_and_a_command_share_what_both_record(tmp_path: Path) -> None:
    """Row numbers, the workload's loss and the evaluation are the loop's alone."""
    found = compare_drafts(tmp_path, draft(), command_draft())
    assert ("identical", ("evaluation",)) == (found.outcome, found.not_recorded)

    candidate = command_draft()
    candidate.step(2)["weights"] += 1
    assert (2, "weights") == first_of(compare_drafts(tmp_path / "two", draft(), candidate))


def test_a_batch_without_rows_is_compared_by_its_content(tmp_path: Path) -> None:
    """The order of the data is then left out by name."""
    pair = command_draft(), command_draft()
    for made in pair:
        for row in made.rows["micro_batches"]:
            row["rows"] = None
    found = compare_drafts(tmp_path, *pair)
    assert ("identical", ("data_order", "evaluation")) == (found.outcome, found.not_recorded)


def test_a_stage_that_matters_and_is_not_recorded_is_a_doubt(tmp_path: Path) -> None:
    """No scalar went backward in either: the losses are unknown, not equal."""
    pair = command_draft(), command_draft()
    for made in pair:
        for row in made.rows["micro_batches"]:
            row["loss"] = None
    found = compare_drafts(tmp_path, *pair)
    assert "inconclusive" == found.outcome
    assert any("not recorded in both runs: loss" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("field", "value", "outcome", "words"),
    [
        ("unseen", ("the update of 2 parameters was not seen",), "inconclusive", "2 parameters"),
        ("probe_fault", "KeyError: 0", "incomparable", "a fault of the harness, not of the"),
        (
            "parameter_names",
            (*TENSORS[:2], "other"),
            "inconclusive",
            "are no tensors of its trace",
        ),
        ("parameter_names", (*TENSORS[:2], TENSORS[0]), "inconclusive", "names a parameter twice"),
        ("steps", 5, "inconclusive", "its header counts 5 steps"),
    ],
)
def test_what_a_record_lacks_prevents_identical(
    tmp_path: Path, field: str, value: Any, outcome: str, words: str
) -> None:
    """Equal values prove nothing about what was not seen."""
    candidate = command_draft()
    candidate.header[field] = value
    found = compare_drafts(tmp_path, command_draft(), candidate)
    assert outcome == found.outcome
    assert any(words in doubt for doubt in found.doubts)


def test_another_number_of_steps_is_a_difference(tmp_path: Path) -> None:
    """A command has no planned number, but both numbers are known."""
    candidate = command_draft()
    candidate.cut(STEPS - 1)
    candidate.header["evaluations"] = ()
    assert (STEPS, "step_count") == first_of(compare_drafts(tmp_path, command_draft(), candidate))


def every(number: int) -> Draft:
    """A command whose gradients and weights were recorded at some steps only."""
    made = command_draft(every=number)
    for row in made.rows["steps"]:
        if row["step"] != 1 and row["step"] % number:
            row |= dict.fromkeys(("grad_norm", "gradients", "weights", "optimizer_state"))
    made.rows["tensors"] = [
        row for row in made.rows["tensors"] if row["step"] < 2 or row["step"] % number == 0
    ]
    return made


def test_every_second_step_is_compared_where_it_was_recorded(tmp_path: Path) -> None:
    """The restriction is stated; a weight that differs at a recorded step is found."""
    found = compare_drafts(tmp_path, every(2), every(2))
    assert "identical" == found.outcome, found.doubts
    assert "every 2 steps only" in found.restriction

    candidate = every(2)
    candidate.step(4)["weights"] += 1
    assert (4, "weights") == first_of(compare_drafts(tmp_path / "two", every(2), candidate))
    candidate = every(2)
    candidate.step(4)["weights"] = None
    assert "identical" != compare_drafts(tmp_path / "three", every(2), candidate).outcome


def test_two_intervals_leave_a_doubt(tmp_path: Path) -> None:
    """They are compared where both hold values."""
    found = compare_drafts(tmp_path, every(2), every(3))
    assert "inconclusive" == found.outcome
    assert any("every 2 and every 3 steps" in doubt for doubt in found.doubts)


def test_a_wrapped_model_is_the_same_model(tmp_path: Path) -> None:
    """The prefix is stated; the control differs in one gradient, under the reference's name."""
    found = compare_drafts(tmp_path, command_draft(), renamed(command_draft(), "net."))
    assert "identical" == found.outcome, found.doubts
    assert ("names differ by the prefix `net.`; 3 of 3 matched",) == found.alignment
    assert "names differ by the prefix `net.`" in sentence(found)

    candidate = renamed(command_draft(), "net.")
    candidate.tensor(2, f"net.{TENSORS[1]}")["gradient"] += 1
    found = compare_drafts(tmp_path / "two", command_draft(), candidate)
    assert (2, "gradients") == first_of(found)
    assert found.first_divergence is not None
    assert TENSORS[1] == found.first_divergence.tensor


def test_a_tensor_of_one_run_is_a_difference_before_the_first_step(tmp_path: Path) -> None:
    """It is named once, and no later stage counts it again."""
    candidate = command_draft()
    candidate.rows["tensors"] = [
        row for row in candidate.rows["tensors"] if row["tensor"] != TENSORS[2]
    ]
    candidate.header["parameter_names"] = TENSORS[:2]
    for row in candidate.rows["steps"]:
        row["rate_of"] = [0, 0]
        row["gradients"] += 1  # it covers other tensors
    found = compare_drafts(tmp_path, command_draft(), candidate)
    assert (0, "initial_weights") == first_of(found)
    assert found.first_divergence is not None
    assert (
        "one parameter fewer: classifier.bias is missing in the candidate"
        == found.first_divergence.detail
    )
    counts = {stage.stage: (stage.differing, stage.compared) for stage in found.stages}
    assert (0, STEPS) == counts["gradients"]
    assert all(differing <= compared for differing, compared in counts.values())


def test_tensors_in_another_order_are_the_same_model(tmp_path: Path) -> None:
    """Digests of all tensors depend on the order, so those of single tensors decide."""
    candidate = command_draft()
    candidate.rows["tensors"].sort(key=lambda row: (row["step"], -TENSORS.index(row["tensor"])))
    candidate.header |= {"parameter_names": TENSORS[::-1], "initial_weights": "0" * 16}
    for row in candidate.rows["steps"]:
        row["gradients"] += 1
        row["weights"] += 1
        row["optimizer_state"] += 1
    assert "identical" == compare_drafts(tmp_path, command_draft(), candidate).outcome
    candidate.tensor(3, TENSORS[0])["weight"] += 1
    found = compare_drafts(tmp_path / "two", command_draft(), candidate)
    assert (3, "weights") == first_of(found)


def test_gradients_of_one_run_are_missing_not_small(tmp_path: Path) -> None:
    """A digest of 0 states that a parameter has no gradient."""
    candidate = command_draft()
    for name in TENSORS[:2]:
        candidate.tensor(2, name)["gradient"] = 0
    candidate.tensor(2, TENSORS[2])["gradient"] += 1
    found = compare_drafts(tmp_path, command_draft(), candidate)
    assert (2, "gradients") == first_of(found)
    assert found.first_divergence is not None
    assert (
        "2 of 3 tensors have no gradient in the candidate, first embedding.weight; 1 other differs"
        == found.first_divergence.detail
    )


def test_the_noise_of_a_loop_does_not_apply_to_a_command(tmp_path: Path) -> None:
    """The difference of a pair is then neither noise nor a fault."""
    one, two = command_draft(), command_draft()
    two.micro_batch(2)["loss"] += 1e-9
    records = one.write(tmp_path / "one"), two.write(tmp_path / "two")
    found = compare_drafts(tmp_path / "pair", one, two)
    judged = CaseNoise(draft().write(tmp_path / "plain"), []).apply(found, *records)
    assert "inconclusive" == judged.outcome
    assert any("the noise of a command does not apply" in doubt for doubt in judged.doubts)


def test_optimizers_that_differ_are_described(tmp_path: Path) -> None:
    """A second optimizer, one that takes over, and tensors that are updated twice."""

    def detail(
        optimizers: tuple[OptimizerSeen, ...], seen: str = "", resumed: tuple[int, ...] = ()
    ) -> str:
        candidate = command_draft()
        candidate.header |= {"optimizers": optimizers, "resumed_from": resumed}
        if seen:
            candidate.header["observed"] = {seen: (Observation(step=4, value=2),)}
        candidate.step(4)["optimizer_state"] += 1
        reference = command_draft()
        reference.header["optimizers"] = (OptimizerSeen(rule="AdamW", parameters=3, steps=6),)
        found = compare_drafts(tmp_path / str(len(list(tmp_path.iterdir()))), reference, candidate)
        assert found.first_divergence is not None
        return found.first_divergence.detail

    adam = OptimizerSeen(rule="AdamW", parameters=3, steps=6)
    half = OptimizerSeen(rule="AdamW", parameters=3, steps=3)
    head = OptimizerSeen(rule="SGD", parameters=1, steps=6)
    assert "" == detail((adam,))
    assert "from step 4 on another AdamW updates the candidate" == detail((half, half))
    bare = "optimizer_without_state"
    assert "from step 4 on another AdamW, which has no state, updates the candidate" == detail(
        (half, half), bare
    )
    assert "at step 4 the optimizer of the candidate has no state" == detail((adam,), bare)
    # A resumed run has an optimizer in each of its processes.
    assert "" == detail((half, half), resumed=(3,))
    assert "at step 4 the optimizer of the candidate has no state" == detail(
        (half, half), bare, (3,)
    )
    assert (
        "the reference is updated by AdamW (3 parameters, 6 steps), the candidate by AdamW (3 "
        "parameters, 6 steps), SGD (1 parameter, 6 steps)"
    ) == detail((adam, head))
    assert "at step 4 the candidate updates 2 tensors more than once" == detail(
        (adam, head), "updated_twice"
    )


def test_inputs_that_only_one_run_passes_are_named(tmp_path: Path) -> None:
    """The batch differs, and the record holds which tensor of it does."""
    candidate = evident()
    for row in candidate.rows["circumstances"]:
        row |= {"inputs": ["input_ids"], "input_digests": row["input_digests"][1:]}
    candidate.micro_batch(1)["batch_content"] += 1
    found = compare_drafts(tmp_path, evident(), candidate)
    assert found.first_divergence is not None
    assert "the batches of the candidate have no attention_mask" == found.first_divergence.detail


@pytest.mark.parametrize(("repeated", "stage"), [(False, "batch_content"), (True, "data_order")])
def test_other_content_of_the_same_rows_is_no_other_order(
    repeated: bool, stage: str, tmp_path: Path
) -> None:
    """One input tells rows apart and is equal. The control: it is the same for all rows."""
    runs = [command_draft("one"), command_draft("two")]
    for made in runs:
        made.rows["circumstances"] = evident().rows["circumstances"]
        for number, row in enumerate(made.rows["circumstances"]):
            row |= {"inputs": ["ids", "mask"], "input_digests": [1 if repeated else number, 1]}
    for row in runs[1].rows["circumstances"]:
        row["input_digests"][1] = 2
    for row in runs[1].rows["micro_batches"]:
        row["rows"] = [digest + 1 for digest in row["rows"]]
        row["batch_content"] += 1
    found = compare_drafts(tmp_path, *runs)
    assert (1, stage) == first_of(found)


@pytest.mark.parametrize(
    ("rows", "places", "expected"),
    [
        ([7, 3, 5, 1], [1], "the labels of row 3 differ"),
        ([7, 3, 5, 1], [0, 2], "the labels of rows 5 and 7 differ"),
        (None, [3], "the labels of row 4 of the batch differ"),
    ],
)
def test_the_rows_with_other_labels_are_named(
    rows: list[int] | None, places: list[int], expected: str, tmp_path: Path
) -> None:
    """By their number in the training set, else by their place in the batch."""
    runs = [evident(), evident()]
    for made in runs:
        made.micro_batch(1)["sample_ids"] = rows
        for row in made.rows["circumstances"]:
            row["inputs"] = ["input_ids", "labels", *(f"labels[{n}]" for n in range(4))]
            row["input_digests"] = [1, 2, 10, 11, 12, 13]
    runs[1].micro_batch(1)["label_content"] += 1
    first = runs[1].rows["circumstances"][0]
    first["input_digests"] = [
        digest + (number == 1 or number - 2 in places)
        for number, digest in enumerate(first["input_digests"])
    ]
    found = compare_drafts(tmp_path, *runs).first_divergence
    assert found is not None
    assert f"the labels of the batch differ, its inputs do not; {expected}" == found.detail


def test_an_update_that_is_left_out_is_described(tmp_path: Path) -> None:
    """Its rows go into the next update."""
    candidate = divided(draft())
    later = [row["step"] for row in candidate.rows["micro_batches"]]
    for row, step in zip(candidate.rows["micro_batches"], later, strict=True):
        row["step"] = step if step < 3 else step - 1
        row["micro_batch"] = 2 if step == 3 else 1
    candidate.rows["steps"].pop()
    candidate.rows["tensors"] = [r for r in candidate.rows["tensors"] if r["step"] < STEPS]
    found = compare_drafts(tmp_path, divided(draft()), candidate)
    assert (2, "data_order") == first_of(found)
    assert found.first_divergence is not None
    assert (
        "an update is missing in the candidate: its step 2 holds the rows of steps 2 and 3 of the "
        "reference"
    ) == found.first_divergence.detail


def test_folders_of_two_commands_are_compared_by_their_names(tmp_path: Path) -> None:
    """As `harness trace` leaves them; commands of one name are called by their folders."""
    for name in ("one", "two"):
        write_run_folder(tmp_path / name, {name: command_draft(name)})
        write_run_folder(tmp_path / f"again-{name}", {"train": command_draft()})

    def labels(*folders: str) -> tuple[str, str, str]:
        paths = [tmp_path / folder for folder in folders]
        report, _ = compare_folders(paths[0], paths[1], tmp_path / "-".join(folders), ["harness"])
        (pair,) = report.comparisons
        return pair.outcome, pair.reference, pair.candidate

    assert ("identical", "one", "two") == labels("one", "two")
    assert ("identical", "again-one", "again-two") == labels("again-one", "again-two")


def test_a_command_is_compared_with_each_loop_of_a_folder(tmp_path: Path) -> None:
    """A single command has no counterpart by name."""
    write_run_folder(tmp_path / "loops", {"plain": draft(), "trainer": draft("trainer")})
    write_run_folder(tmp_path / "mine", {"train": command_draft()})
    report, _ = compare_folders(tmp_path / "loops", tmp_path / "mine", tmp_path / "out", ["x"])
    assert [("loops: plain", "mine: train"), ("loops: trainer", "mine: train")] == [
        (pair.reference, pair.candidate) for pair in report.comparisons
    ]
    assert {"identical"} == {pair.outcome for pair in report.comparisons}


def test_records_of_other_cases_are_stated(tmp_path: Path) -> None:
    """In one line; their values are compared."""
    found = compare_drafts(tmp_path, draft(case="one"), draft(case="two"))
    assert ("identical", ("the cases have other names: one and two",)) == (
        found.outcome,
        found.alignment,
    )


def test_the_trainings_of_two_commands_are_compared_by_their_numbers(tmp_path: Path) -> None:
    """A third training of one has no partner."""
    folders = []
    for name, trainings in (("one", ["", "-2"]), ("two", ["", "-2", "-3"])):
        made = {f"{name}{number}": command_draft(f"{name}{number}") for number in trainings}
        if name == "two":
            made["two-2"].step(2)["weights"] += 1
        for one in made.values():
            command = {"command": ("python", f"{name}.py")}
            one.header["spec"] = one.header["spec"].model_copy(update=command)
        folders.append(tmp_path / name)
        write_run_folder(folders[-1], made)

    report, _ = compare_folders(folders[0], folders[1], tmp_path / "out", ["harness"])

    assert [
        ("one: one", "two: two", "identical"),
        ("one: one-2", "two: two-2", "different"),
        ("one: training 3", "two: two-3", "incomparable"),
    ] == [(pair.reference, pair.candidate, pair.outcome) for pair in report.comparisons]


@pytest.mark.parametrize("other_names", [False, True])
def test_no_cause_is_named_where_only_values_match_the_tensors(
    other_names: bool, tmp_path: Path
) -> None:
    """Of models written differently, settings may differ for that reason alone."""
    reference, candidate = command_draft("one"), command_draft("two")
    name = "w1" if other_names else "classifier.weight"
    candidate.header["settings"] = {"optimizer.without": [name]}
    reference.header["settings"] = {"optimizer.without": []}
    for step in range(1, STEPS + 1):
        candidate.step(step)["weights"] ^= 1
        row = candidate.tensor(step, "classifier.weight")
        row["weight"] = candidate.tensor(0, "classifier.weight")["weight"]
    if other_names:
        places = dict(zip(TENSORS, ("w0", "w1", "w2"), strict=True))
        for row in candidate.rows["tensors"]:
            row["tensor"] = places[row["tensor"]]
        candidate.header["parameter_names"] = tuple(places.values())
    found = compare_drafts(tmp_path, reference, candidate)
    assert (1, "weights") == first_of(found)
    assert ([] if other_names else ["parameter-frozen"]) == [one.id for one in found.causes]
    two = "these may be two programs, 3 tensors with other names matched by initial values"
    assert other_names == found.unnamed.startswith(two)
    without_facts = found.model_copy(update={"facts": (), "causes": ()})
    assert other_names == unexplained(without_facts).startswith(f"No cause is named: {two}")
    assert other_names != ("no known cause matches" in unexplained(without_facts))
