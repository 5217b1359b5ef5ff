"""The proof on a GPU: what did not run is never called passed; the parts work, here on a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from harness.spec import registry
from studies import gpu
from studies.gpu_parts import checks, costs
from tests.faults.mutations import path_of

NO_GPU = not torch.cuda.is_available()


@pytest.mark.skipif(not NO_GPU, reason="there is a CUDA device")
def test_without_a_gpu_nothing_has_passed(tmp_path: Path) -> None:
    """Each part says why it was not run; the exit code is that of no verdict."""
    app = typer.Typer()
    app.command()(gpu.main)
    done = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert 4 == done.exit_code, done.output
    rows = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["parts"]
    assert list(gpu.PARTS) == list(rows)
    assert {("not run", "no CUDA device")} == {(r["status"], r["reason"]) for r in rows.values()}
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"0 passed, 0 failed, {len(rows)} not run" in text


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    """With the parts that there are."""
    app = typer.Typer()
    app.command()(gpu.main)
    done = CliRunner().invoke(app, ["--out", str(tmp_path), "--parts", "loops,magic"])
    assert (2, True) == (done.exit_code, "met magic" in done.output)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit_s", "reason"),
    [(60, "no CUDA device"), (0.2, "did not end within"), (0, "no time was left")],
)
@pytest.mark.skipif(not NO_GPU, reason="there is a CUDA device")
def test_a_part_that_does_not_end_is_not_run(limit_s: float, reason: str, tmp_path: Path) -> None:
    """It fails, it takes too long, or it does not begin."""
    row = gpu.run_part("digests", "cpu", tmp_path, limit_s, jobs=1)
    assert "not run" == row["status"]
    assert reason in row["reason"]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("passed", "passed"), 0),
        (("passed", "not run"), 4),
        (("failed", "not run"), 1),
        ((), 4),
    ],
)
def test_the_exit_code_needs_every_part(statuses: tuple[str, ...], expected: int) -> None:
    """What was not run is no success."""
    rows = {str(number): {"status": status} for number, status in enumerate(statuses)}
    assert expected == gpu.exit_code(rows)


@pytest.mark.slow
def test_the_checks_hold_on_a_cpu_and_fail_on_a_fault(tmp_path: Path) -> None:
    """Loops that agree, faults at their places, and, as control, a loop with a fault."""
    assert checks.loops("cpu", tmp_path / "loops", jobs=2, steps=2)["holds"] is True
    found = checks.faults("cpu", tmp_path / "faults", jobs=2, count=1)
    assert (1, True) == (found["at their place"], found["holds"])
    case = checks._case("cpu", max_steps=2)
    loops = ("plain", path_of("optimizer_for_loop"))
    plan = {"fault": [registry.run_spec(case, loop) for loop in loops]}
    control = checks._agreeing(plan, tmp_path / "control", jobs=2)
    assert (1, 1, False) == (control["pairs"], len(control["not identical"]), control["holds"])


@pytest.mark.parametrize(("slower", "holds"), [(1.0, True), (2.0, False)])
def test_traced_steps_are_compared_with_bare_ones(
    slower: float, holds: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both models train under the probe; a traced step of twice the time breaks the limit."""
    steps = []

    def measured(step: Callable[[], object], repeats: int = 1) -> float:
        steps.append([step(), step()])
        return 1.0 if len(steps) % 3 == 1 else slower

    monkeypatch.setattr(costs, "_median_s", measured)
    figures = costs.traces("cpu", tmp_path, jobs=1, tiny=True)
    assert (holds, 6) == (figures["holds"], len(steps))
    assert slower == figures["BERT-base"]["full"]


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="no CUDA device")
@pytest.mark.parametrize("name", gpu.PARTS)
def test_a_part_passes_on_a_gpu(name: str, tmp_path: Path) -> None:
    """The same as `make gpu`, one part at a time."""
    row = gpu.run_part(name, "cuda", tmp_path, gpu.PARTS[name].limit_s, jobs=6)
    assert "passed" == row["status"], row
