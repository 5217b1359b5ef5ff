"""Rows without a value are refused with file, row and value."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.training.data_files import check_values, read_folder

GOOD = {"text": "a bank", "label": 0}


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    for split in ("train", "validation"):
        text = "\n".join(json.dumps(row) for row in (rows if split == "train" else [GOOD] * 3))
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": None, "label": 0}, r"column text .*\(met null in row 3 of train.jsonl\)"),
        ({"text": "a bank", "label": None}, r"column label .*\(met null in row 3 of train.jsonl\)"),
        ({"text": " ", "label": 1}, r"needs text \(met an empty row 3 of train.jsonl\)"),
    ],
)
def test_a_row_without_a_value_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    """The file, the row and what is missing."""
    write_rows(tmp_path, [GOOD, GOOD, row, GOOD])
    splits = read_folder(tmp_path)
    with pytest.raises(SpecError, match=said):
        check_values(splits.train, ("text", "label"), splits.train_file)


def test_rows_with_values_are_taken(tmp_path: Path) -> None:
    """Control; in a corpus empty texts are usual, and a column that is not read may be empty."""
    write_rows(tmp_path, [GOOD, {**GOOD, "note": None}, {**GOOD, "text": ""}])
    splits = read_folder(tmp_path)
    check_values(splits.validation, ("text", "label"), splits.validation_file)
    check_values(splits.train, ("text",), splits.train_file, empty_texts=True)
