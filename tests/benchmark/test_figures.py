"""Derived numbers by hand: rates, operations and their share of the peak; files of sessions."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.benchmark.arms import arms_of
from harness.benchmark.figures import figures_of
from harness.benchmark.folder import output_folder
from harness.benchmark.passes import Passes
from harness.errors import RecordError, RunFailed, SpecError
from harness.results.sessions import FOLDER, Session, read_sessions
from harness.spec import registry
from tests.support.bench_sessions import block, sessions


def test_rates_are_volumes_over_the_time_they_took() -> None:
    """32 rows, 240 tokens and 320 with padding in 0.4 s of wall time, half of it lost to others."""
    arms = arms_of(registry.cases()["paraphrase"], ["plain", "trainer"], "matched")
    blocks = tuple(block("trainer", turn, delay_s=0.2, cpu_s=0.19) for turn in range(1, 4))
    found = [Session(1, "", blocks, {"trainer": 0.7}, 10.0)]
    passes = Passes(
        parameters={"trainer": 1000},
        flops_per_step={"trainer": 600_000.0},
        tokens_per_counted_step={"trainer": 50.0},
        peak_flops_per_s={"trainer": 96_000_000.0},
        memory={"trainer": {"peak_resident_bytes": 123}},
    )

    figures = figures_of(arms[2], arms[0], found, passes)

    assert 12 == figures.steps
    assert figures.samples_per_s == pytest.approx(80.0)
    assert figures.tokens_per_s == pytest.approx(600.0)
    assert figures.padded_tokens_per_s == pytest.approx(800.0)
    assert figures.step_s == pytest.approx(0.1)
    assert figures.own_step_s == pytest.approx(0.05)
    assert figures.cpu_step_s == pytest.approx(0.0475)
    assert 0.7 == figures.first_step_s
    # 6 * 1000 * 50 is half of what was counted.
    assert figures.flops_per_six_n_tokens == pytest.approx(2.0)
    # Timed steps have 80 tokens, so 960 000 operations in 0.05 s: a fifth of the peak.
    assert figures.share_of_peak == pytest.approx(0.2)
    assert 123 == figures.peak_resident_bytes
    assert {} == figures.overrides


def test_a_session_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Every field of every block is equal, in order."""
    found = sessions({"control": [1.0, 1.01]})
    found[0] = replace(found[0], blocks=(block("plain", 1, delay_s=None), *found[0].blocks))
    for one in reversed(found):
        one.write(tmp_path / FOLDER)

    assert found == list(read_sessions(tmp_path))


def test_a_damaged_session_is_refused(tmp_path: Path) -> None:
    """A truncated file is refused."""
    (one,) = sessions({"control": [1.0]})
    path = one.write(tmp_path / FOLDER)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(RecordError, match="a complete file"):
        read_sessions(tmp_path)


def test_a_full_disk_is_one_line_and_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Existing files stay, no partial file is left, and the lock is released."""
    one, two = sessions({"control": [1.0, 1.0]})

    def full(table: Any, path: Path, **options: Any) -> None:
        Path(path).write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "out"

    def bench() -> None:
        with output_folder(folder, "a-case", resume=False):
            one.write(folder / FOLDER)
            monkeypatch.setattr(pq, "write_table", full)
            two.write(folder / FOLDER)

    with pytest.raises(
        RunFailed, match=r"results need space on the disk .*no space left"
    ) as caught:
        bench()

    assert 1 == len(str(caught.value).splitlines())
    assert ["001.parquet"] == [path.name for path in (folder / FOLDER).iterdir()]
    assert [one] == list(read_sessions(folder))
    with output_folder(folder, "a-case", resume=True):
        pass


def test_two_benches_in_one_folder_refuse_each_other(tmp_path: Path) -> None:
    """The second one is refused, with --resume too, and changes nothing."""
    with output_folder(tmp_path / "out", "a-case", resume=False) as folder:
        (folder / "kept").touch()
        for resume in (False, True):
            with (
                pytest.raises(SpecError, match="one bench at a time"),
                output_folder(folder, "a-case", resume),
            ):
                pass
        assert (folder / "kept").is_file()


def test_a_lock_of_a_dead_bench_is_taken_over(tmp_path: Path) -> None:
    """Its lock file is not locked by any process."""
    (tmp_path / ".lock").write_text("999999", encoding="utf-8")
    with output_folder(tmp_path, "a-case", resume=False) as folder:
        assert tmp_path == folder


def test_results_are_continued_only_with_resume(tmp_path: Path) -> None:
    """Without --resume a folder with files is refused and unchanged."""
    (tmp_path / "report.json").touch()
    with (
        pytest.raises(SpecError, match="new or empty"),
        output_folder(tmp_path, "a-case", resume=False),
    ):
        pass
    with output_folder(tmp_path, "a-case", resume=True):
        assert (tmp_path / "report.json").is_file()


def test_what_a_refused_bench_made_is_gone(tmp_path: Path) -> None:
    """Its new folder is removed with its content."""

    def bench() -> None:
        with output_folder(tmp_path / "out", "a-case", resume=False) as folder:
            (folder / "logs").mkdir()
            raise SpecError("no such field")

    with pytest.raises(SpecError, match="no such field"):
        bench()
    assert not (tmp_path / "out").exists()
