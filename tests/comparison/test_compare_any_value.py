"""If any one value of a record is changed, the pair is never `identical`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.comparison.compare import compare
from harness.results.record import RunRecord
from tests.support.records import MICRO_BATCHES, STEPS, TENSORS, Row, compare_drafts, draft

NUMBERS = st.floats(width=64) | st.just(-0.0)
DIGESTS = st.integers(0, 2**64 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "step": st.integers(0, STEPS + 2),
    "micro_batch": st.integers(0, MICRO_BATCHES + 2),
    "sample_ids": st.lists(st.integers(-1, 100), max_size=5),
    "rows": st.lists(DIGESTS, max_size=5),
    "loss": NUMBERS,
    "task_loss": NUMBERS,
    "grad_norm": NUMBERS,
    "learning_rate": st.lists(NUMBERS | st.none(), max_size=2),
    "rate_of": st.lists(st.integers(-2, 3), max_size=4),
    "tensor": st.sampled_from([*TENSORS, "another"]),
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return draft().write(tmp_path_factory.mktemp("property") / "reference")


@pytest.mark.parametrize(
    ("trace", "column"),
    [(trace, column) for trace, rows in draft().rows.items() for column in rows[0]],
)
@settings(max_examples=5)
@given(data=st.data())
def test_any_one_changed_value_is_never_identical(
    reference: RunRecord, trace: str, column: str, data: st.DataObject
) -> None:
    """Any change of a single value of a trace in one run is seen.

    The control, an unchanged draft, is in `test_compare.py`.
    """
    candidate = draft()
    row: Row = data.draw(st.sampled_from(candidate.rows[trace]))
    value = data.draw(VALUES.get(column, DIGESTS))
    assume(repr(value) != repr(row[column]))
    row[column] = value

    written = candidate.write(reference.folder.with_name("candidate"))
    assert "identical" != compare(reference, written, ("reference", "candidate")).outcome


@pytest.mark.parametrize("count", ["steps", "micro_batches", "samples", "epochs", "parameters"])
def test_another_count_in_the_header_is_never_identical(tmp_path: Path, count: str) -> None:
    """If a count of the headers differs, the runs are not identical."""
    candidate = draft()
    candidate.header[count] += 1

    assert "identical" != compare_drafts(tmp_path, draft(), candidate).outcome


@pytest.mark.parametrize("column", ["gradient", "weight", "optimizer_state"])
def test_a_tensor_that_differs_before_the_first_step_is_never_identical(
    tmp_path: Path, column: str
) -> None:
    """Step 0 holds what training starts from: an optimizer may bring a state along."""
    candidate = draft()
    candidate.tensor(0, TENSORS[1])[column] ^= 1

    assert "identical" != compare_drafts(tmp_path, draft(), candidate).outcome
