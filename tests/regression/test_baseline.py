"""The file of a baseline: found by case and class, refused where it is not as it was written."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from harness.errors import HarnessError, RecordError, SpecError
from harness.regression.accept import accept
from harness.regression.baseline import (
    Baseline,
    baseline_path,
    cases_in,
    find_baselines,
    locked,
    nearest_baseline,
    read,
    write,
)
from harness.regression.key import key_differences
from tests.support.made_up_runs import bench_folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline's file."""
    folder = tmp_path_factory.mktemp("accepted")
    (one,) = accept(bench_folder(folder / "run"), folder / "baselines", "for tests")
    return one.path


def test_it_reads_back_as_it_was(written: Path, tmp_path: Path) -> None:
    """Every field, and the text is the same when it is written again."""
    baseline = read(written)
    path = baseline_path(tmp_path, baseline.case, baseline.key)
    write(baseline, path)
    assert written.name == path.name
    assert written.read_text() == path.read_text()
    assert {"tiny"} == cases_in(written.parent)


def test_a_list_of_numbers_stands_on_one_line(written: Path) -> None:
    """It is for readers too."""
    line = next(row for row in written.read_text().splitlines() if '"first": [0.' in row)
    assert line.rstrip(",").endswith("]")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_was_cut_off_is_refused(share: float, written: Path, tmp_path: Path) -> None:
    """One line with the remedy, never a baseline."""
    path = tmp_path / "tiny@cut.json"
    path.write_text(written.read_text()[: int(share * len(written.read_text()))])
    with pytest.raises(RecordError, match=r"a baseline is a complete JSON file.*restore it"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"steps": 6', '"steps": 7'), ('"reason": "for tests"', '"reason": "for testz"')],
)
def test_a_file_that_was_edited_is_refused(
    old: str, new: str, written: Path, tmp_path: Path
) -> None:
    """Any value."""
    text = written.read_text()
    assert old in text
    path = tmp_path / "tiny@edited.json"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecordError, match="edited or damaged"):
        read(path)


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"digest": "0"}', "[" * 100_000])
def test_what_is_no_baseline_is_refused(content: str, tmp_path: Path) -> None:
    """Whatever stands in the file, the error is one line of ours."""
    path = tmp_path / "tiny@other.json"
    path.write_text(content)
    with pytest.raises(RecordError):
        read(path)


def test_nan_is_refused_even_with_a_good_digest(written: Path, tmp_path: Path) -> None:
    """A file with NaN in its samples is refused, also with a correct digest."""
    raw = json.loads(written.read_text())
    del raw["digest"]
    raw["speeds"]["sessions"][0]["arms"]["plain"][0] = float("nan")
    from harness.regression.baseline import _digest

    path = tmp_path / "tiny@nan.json"
    path.write_text(json.dumps({**raw, "digest": _digest(raw)}))
    with pytest.raises(RecordError, match="baseline field"):
        read(path)


def test_a_renamed_file_is_refused(written: Path, tmp_path: Path) -> None:
    """It would hold one case against another."""
    (tmp_path / "other@x.json").write_bytes(written.read_bytes())
    with pytest.raises(RecordError, match="starts with the name of its case"):
        find_baselines(tmp_path, "other")


def test_the_nearest_class_is_taken(written: Path, tmp_path: Path) -> None:
    """Of several machines the one with the fewest fields that differ."""
    baseline: Baseline = read(written)
    keys = [
        baseline.key.model_copy(update={"cores": 64}),
        baseline.key.model_copy(update={"cores": 64, "cpu_model": "another"}),
    ]
    for key in keys:
        other = baseline.model_copy(update={"key": key})
        write(other, baseline_path(tmp_path, "tiny", key))
    found = find_baselines(tmp_path, "tiny")
    assert 2 == len(found)
    one = nearest_baseline(found, baseline.key)
    assert one is not None
    assert {"cores": (64, 2)} == key_differences(one.baseline.key, baseline.key)
    assert nearest_baseline([], baseline.key) is None


def test_one_command_at_a_time(tmp_path: Path) -> None:
    """A second check or accept of the same baseline is refused; another baseline is free."""
    with locked(tmp_path):
        refused: list[HarnessError] = []

        def second() -> None:
            try:
                with locked(tmp_path):
                    pass
            except SpecError as error:
                refused.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert ["one check or accept"] == [str(error)[:19] for error in refused]
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path):
        pass
