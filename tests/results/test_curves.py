"""The curves of a record: what a row holds, and what stays empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.results.curves import curve_table, run_columns, stacked
from tests.support.records import draft, evaluation
from tests.support.traced_commands import traced_command


def test_a_row_holds_the_values_of_one_update(tmp_path: Path) -> None:
    """By hand: the scalars of two backward passes are added, the task's losses averaged."""
    made = draft()
    for number, (loss, task) in enumerate(((0.25, 0.5), (0.125, 0.25)), start=1):
        made.micro_batch(3, number).update(loss=loss, task_loss=task)
    row = curve_table(made.write(tmp_path / "record")).to_pylist()[2]
    expected = {"step": 3, "loss": 0.375, "task_loss": 0.375, "learning_rate": 5e-5 * (1 - 2 / 6)}
    assert {**expected, "grad_norm": 2 / 3, "eval_accuracy": None, "eval_f1": None} == row


def test_the_loss_is_averaged_over_processes(tmp_path: Path) -> None:
    """The gradients of the processes are, too."""
    made = draft()
    case = made.header["spec"].case.model_copy(update={"world_size": 2})
    made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
    whole = curve_table(draft().write(tmp_path / "one"))["loss"].to_pylist()
    assert [loss / 2 for loss in whole] == curve_table(made.write(tmp_path / "two"))[
        "loss"
    ].to_pylist()


def test_a_value_that_was_not_recorded_is_null(tmp_path: Path) -> None:
    """Never zero, and never the sum of the others."""
    made = draft()
    made.micro_batch(2, 1)["loss"] = None
    made.step(4)["grad_norm"] = None
    made.step(5)["learning_rate"] = [None]
    made.rows["micro_batches"] = [row for row in made.rows["micro_batches"] if row["step"] != 6]
    table = curve_table(made.write(tmp_path / "record"))
    missing = {
        name: [number for number, value in enumerate(table[name].to_pylist(), 1) if value is None]
        for name in table.column_names[:5]
    }
    expected = {"step": [], "loss": [2, 6], "task_loss": [6], "learning_rate": [5]}
    assert {**expected, "grad_norm": [4]} == missing


def test_evaluations_stand_at_their_steps(tmp_path: Path) -> None:
    """Before the first update is step 0; a metric that is not evaluated there is null."""
    evaluations = evaluation(0), evaluation(6, recall=0.5)
    table = curve_table(draft(evaluations=evaluations).write(tmp_path / "record"))
    assert [0, *range(1, 7)] == table["step"].to_pylist()
    assert [0.875, *[None] * 5, 0.875] == table["eval_accuracy"].to_pylist()
    assert [*[None] * 6, 0.5] == table["eval_recall"].to_pylist()


def test_each_distinct_rate_has_a_column(tmp_path: Path) -> None:
    """In the order of the parameters."""
    made = draft()
    made.step(2)["learning_rate"].append(1e-3)
    table = curve_table(made.write(tmp_path / "record"))
    assert [None, 1e-3, *[None] * 4] == table["learning_rate_2"].to_pylist()


def test_a_step_below_zero_is_refused(tmp_path: Path) -> None:
    """A record that nobody's run has written."""
    made = draft()
    made.step(2)["step"] = -2
    with pytest.raises(RecordError, match="steps of a record count from 1"):
        curve_table(made.write(tmp_path / "record"))


def test_runs_can_be_stacked(tmp_path: Path) -> None:
    """With what each record states of itself; what it does not know is null."""
    environment = {"python": "3.11.9", "commit": "0123", "versions": {"torch": "2.13.0"}}
    known = draft("trainer", environment=environment).write(tmp_path / "known")
    unknown = draft(environment={"versions": "none"}).write(tmp_path / "unknown")
    table = stacked([("a/known", known), ("a/unknown", unknown)])
    rows = table.to_pylist()
    assert [("a/known", 1), ("a/unknown", 6)] == [
        (rows[n]["run"], rows[n]["step"]) for n in (0, -1)
    ]
    facts = {name: rows[0][name] for name in ("loop", "seed", "commit", "torch", "python")}
    expected = {"loop": "trainer", "seed": 42, "commit": "0123", "torch": "2.13.0"}
    assert {**expected, "python": "3.11.9"} == facts
    assert (None, None) == (rows[-1]["torch"], rows[-1]["commit"])


def test_a_command_has_no_seed(tmp_path: Path) -> None:
    """Nobody stated one."""
    facts = run_columns(traced_command().write(tmp_path / "record"), "a/command")
    assert (None, "script", "script") == (facts["seed"], facts["case"], facts["loop"])


@pytest.mark.parametrize("traces", [(), ("steps",), ("micro_batches",)])
def test_a_record_may_lack_traces(tmp_path: Path, traces: tuple[str, ...]) -> None:
    """What it lacks is null; a record without any step has no row."""
    made = draft(evaluations=())
    made.rows = {name: made.rows[name] for name in traces}
    table = curve_table(made.write(tmp_path / "record"))
    assert (6 if traces else 0) == len(table)
    held = {name for name in table.column_names if table[name].null_count < len(table)}
    both = {"steps": {"grad_norm", "learning_rate"}, "micro_batches": {"loss", "task_loss"}}
    expected = set().union(*(both[name] for name in traces))
    assert expected == held - {"step"}
    assert len(table) == len(stacked([("a/b", made.write(tmp_path / "again"))]))
