"""A baseline and the made-up measurements of a check, for tests of `harness check`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main as cli
from harness.regression import measure
from harness.regression.accept import accept
from harness.regression.speeds import Speeds, speeds_of
from harness.results.sessions import Session
from tests.support.made_up_runs import PEAK_BYTES, bench_folder, made_up_draft, timed
from tests.support.records import Draft, fake_digest

__all__ = ["CASE", "World", "last_digits", "sound"]

CASE = "paraphrase"


def sound() -> dict[str, Draft]:
    return {loop: made_up_draft(loop, CASE) for loop in ("plain", "trainer")}


@dataclass
class World:
    """What a check will find, and how it is asked."""

    folder: Path
    patch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    drafts: dict[str, Draft] = field(default_factory=sound)
    peaks: Mapping[str, float] = field(
        default_factory=lambda: {"plain": PEAK_BYTES, "trainer": PEAK_BYTES}
    )
    measurements: list[list[Session]] = field(
        default_factory=lambda: [timed(seed=1), timed(seed=2)]
    )
    report: dict[str, Any] = field(default_factory=dict)
    output: str = ""

    @property
    def baselines(self) -> Path:
        return self.folder / "baselines"

    def accept(self) -> Path:
        run = bench_folder(self.folder / "run", sound())
        (one,) = accept(run, self.baselines, "for tests")
        return one.path

    def check(self, *more: str) -> int:
        """The exit code; `report` and `output` hold the rest."""
        records = {n: d.write(self.folder / "fresh" / n) for n, d in self.drafts.items()}
        measured = iter(self.measurements)

        def measure_speeds(*_: Any) -> tuple[Speeds | None, int]:
            sessions = next(measured)
            return speeds_of(sessions, "plain", "cpu"), len(sessions)

        self.patch.setattr(measure, "trace_loops", lambda *_: records)
        self.patch.setattr(measure, "measure_memory", lambda *_: self.peaks)
        self.patch.setattr(measure, "measure_speeds", measure_speeds)
        out = self.folder / "out"
        arguments = ["check", "--loops", "plain,trainer", *more]
        arguments += ["--baseline", str(self.baselines), "--out", str(out)]
        self.patch.setattr("sys.argv", ["harness", *arguments])
        code = cli.main()
        captured = self.capsys.readouterr()
        self.output = " ".join((captured.out + captured.err).split())
        if (out / "report.json").is_file():
            self.report = json.loads((out / "report.json").read_text())
        return code

    def listed(self, listed: str) -> set[tuple[str, str]]:
        """Loop and metric of what stands in a list."""
        items = self.report["gate"]["items"]
        return {(item["loop"], item["metric"]) for item in items if item["listed"] == listed}

    def words(self, metric: str) -> str:
        """The words of the first item of a metric that is not unchanged."""
        items = [item for item in self.report["gate"]["items"] if item["metric"] == metric]
        return str(next(item["sentence"] for item in items if item["listed"] != "unchanged"))


def last_digits(made: Draft) -> None:
    for row in made.rows["micro_batches"]:
        if row["step"] >= 3:
            row["loss"] *= 1 + 1e-7
            row["task_loss"] = row["loss"]
    for row in made.rows["steps"]:
        if row["step"] >= 2:
            row["weights"] = fake_digest("other", row["step"])
