"""Rows without numbers: another content in the same order, against another order of the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.results.divergence import Divergence
from harness.tracing.rows import row_digests, row_likeness
from tests.support.records import Draft, command_draft, compare_drafts, fake_digest

SIZE, BATCHES = 8, 6
Change = Callable[[Tensor], Tensor]

SET = torch.from_numpy(np.random.default_rng(3).random((SIZE * BATCHES, 3, 6, 6), np.float32))
CENTRE = SET[:, :, 1:-1, 1:-1]


def reading(batches: list[Tensor]) -> Draft:
    """A command whose six updates read these batches, one each."""
    made = command_draft()
    made.rows["micro_batches"] = [
        row for row in made.rows["micro_batches"] if row["micro_batch"] == 1
    ]
    made.rows["circumstances"] = []
    for row, batch in zip(made.rows["micro_batches"], batches, strict=True):
        row["rows"] = row_digests({"x": batch}, None)
        row["batch_content"] = fake_digest(row["rows"])
        likeness = row_likeness({"x": batch})
        made.rows["circumstances"].append(
            {
                "step": row["step"], "micro_batch": 1, "training": True, "shape": list(batch.shape),
                "labels": None, "targets": None, "passes_before": 0, "draws": False,
                "compute_dtype": "float32", "inputs": ["x", *likeness],
                "input_digests": [row["batch_content"], *likeness.values()],
            }
        )  # fmt: skip
    made.recount()
    return made


def first_of(folder: Path, reference: list[Tensor], candidate: list[Tensor]) -> Divergence:
    found = compare_drafts(folder, reading(reference), reading(candidate))
    assert found.first_divergence is not None, found.doubts
    return found.first_divergence


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: torch.nn.functional.pad((rows - 0.5) / 0.25, (1, 1, 1, 1)),
        lambda rows: rows * torch.tensor([0.1, 1.0, 9.0])[:, None, None] + 2,
        lambda rows: rows + 0.2 * torch.sin(torch.arange(rows.numel())).reshape(rows.shape),
        lambda rows: rows.flip(3),
    ],
    ids=["border", "scale of each channel", "noise", "mirrored"],
)
def test_another_content_of_the_same_rows_is_no_other_order(tmp_path: Path, change: Change) -> None:
    """Each row is most like the row at its own place, except where nothing shows that."""
    one = [*torch.nn.functional.pad((CENTRE - 0.5) / 0.25, (1, 1, 1, 1), value=-2).split(SIZE)]
    two = [*change(CENTRE).split(SIZE)]
    if two[0].shape != one[0].shape:
        one = [*CENTRE.split(SIZE)]
    first = first_of(tmp_path, one, two)
    known = not torch.equal(two[0], one[0].flip(3))
    assert (1, "batch_content" if known else "data_order") == (first.step, first.stage)
    assert known == ("the rows are in the same order, their content differs" in first.detail)


def test_another_order_stays_one(tmp_path: Path) -> None:
    """Also if the content differs too, if single rows are replaced, or within a batch."""
    order = torch.randperm(len(SET), generator=torch.Generator().manual_seed(1))
    replaced = SET.clone()
    replaced[::4] = SET[1::4]
    within = torch.arange(len(SET)).reshape(BATCHES, SIZE).flip(1).flatten()
    cases = {
        "shuffled": SET[order],
        "shuffled and scaled": 2 * SET[order] + 1,
        "replaced": replaced,
        "within a batch": SET[within],
        "within a batch and scaled": 2 * SET[within] + 1,
        "other rows": SET.flip(2, 3).roll(5, 0),
    }
    for name, rows in cases.items():
        first = first_of(tmp_path / name, [*SET.split(SIZE)], [*rows.split(SIZE)])
        assert (1, "data_order") == (first.step, first.stage), name


def test_no_row_of_a_set_that_was_read_twice_is_other_content(tmp_path: Path) -> None:
    """All rows of the reference are known after a second epoch. After one epoch they are not."""
    half = SET[: 3 * SIZE]
    other = torch.from_numpy(np.random.default_rng(4).random(half.shape, np.float32))
    twice = [*half.split(SIZE), *half.flip(0).split(SIZE)]
    first = first_of(tmp_path / "twice", twice, [*torch.cat([other, other + 1]).split(SIZE)])
    assert (1, "batch_content") == (first.step, first.stage)
    assert first.detail.startswith(
        "no row of the candidate is one of the 24 rows that the reference reads repeatedly"
    )
    once = first_of(
        tmp_path / "once", [*SET.split(SIZE)], [*torch.cat([other, other + 1]).split(SIZE)]
    )
    assert (1, "data_order") == (once.step, once.stage)
    # Counterpart: some of its rows are rows of that set.
    mixed = torch.cat([other, half])
    some = first_of(tmp_path / "some", twice, [*mixed.split(SIZE)])
    assert (1, "data_order") == (some.step, some.stage)
