"""`harness check` through the command line: each planted change, its list, its exit code.

What would be measured is made up here; `test_check_for_real.py` has loops that are trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main as cli
from harness.regression import measure
from harness.regression.accept import accept
from harness.regression.baseline import Baseline, baseline_path, locked, read, write
from harness.regression.speeds import Change, Speeds, speeds_of
from harness.results.sessions import Session
from tests.support.made_up_runs import PEAK_BYTES, bench_folder, made_up_draft, timed
from tests.support.records import Draft, fake_digest

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
        return str(next(item["words"] for item in items if item["listed"] != "unchanged"))


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    return World(tmp_path, monkeypatch, capsys)


def test_unchanged_code_passes(world: World) -> None:
    """Exit code 0, verdict equivalent, one measurement; pages and terminal agree."""
    world.accept()
    assert 0 == world.check()
    assert "equivalent" == world.report["verdict"]
    assert {"unchanged"} == {item["listed"] for item in world.report["gate"]["items"]}
    assert 1 == world.report["gate"]["looks"]
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
        row["loss"] = 0.7


def zero_gradients(made: Draft) -> None:
    for row in made.rows["steps"]:
        row["grad_norm"] = 0.0


def other_order(made: Draft) -> None:
    made.micro_batch(2)["sample_ids"].reverse()


def last_digits(made: Draft) -> None:
    for row in made.rows["micro_batches"]:
        if row["step"] >= 3:
            row["loss"] *= 1 + 1e-7
    for row in made.rows["steps"]:
        if row["step"] >= 2:
            row["weights"] = fake_digest("other", row["step"])


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
    assert any(message in item["words"] for item in world.report["gate"]["items"])
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


def test_ten_percent_slower_in_one_loop(world: World) -> None:
    """Two measurements agree: exit code 1, and that loop changed."""
    world.accept()
    world.measurements = [timed(loop=1.1, seed=1), timed(loop=1.1, seed=2)]
    assert 1 == world.check()
    assert {("trainer", "step_time_ratio")} == world.listed("regressed")
    assert 2 == world.report["gate"]["looks"]
    assert "trainer itself changed" in world.words("step_time_ratio")
    assert "" == world.report["gate"]["moved_together"]


def test_ten_percent_slower_in_all_loops(world: World) -> None:
    """Exit code 1; all loops changed alike, and the machine did not."""
    world.accept()
    world.measurements = [timed(code=1.1, seed=1), timed(code=1.1, seed=2)]
    assert 1 == world.check()
    assert {("plain", "step_time")} == world.listed("regressed")
    assert "all loops changed alike" in world.report["gate"]["moved_together"]
    assert "a library" in world.output


def test_a_machine_that_is_slower_today_is_no_regression(world: World) -> None:
    """The yardstick shows it."""
    world.accept()
    world.measurements = [timed(machine=1.1, seed=1)]
    assert 0 == world.check()
    assert "the cause is the machine" in world.output


def test_slower_in_the_first_measurement_only_is_no_verdict(world: World) -> None:
    """Exit code 4."""
    world.accept()
    world.measurements = [timed(loop=1.1, seed=1), timed(seed=2)]
    assert 4 == world.check()
    assert ("trainer", "step_time_ratio") in world.listed("inconclusive")


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


def test_a_patch_of_a_library_is_judged_by_what_it_does(world: World) -> None:
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


@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0])
def test_nan_in_samples_is_never_green(value: float, world: World) -> None:
    """Nor a duration of a clock that was set back."""
    world.accept()
    sessions = timed(seed=1)
    block = replace(sessions[0].blocks[0], wall_s=value)
    first = replace(sessions[0], blocks=(block, *sessions[0].blocks[1:]))
    world.measurements = [[first, *sessions[1:]]]
    assert 2 == world.check()
    assert "a time is a positive number of seconds" in world.output


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


def test_speeds_that_the_baseline_lacks_are_missing(world: World) -> None:
    """Unless they were not asked for."""
    path = world.accept()
    baseline: Baseline = read(path).model_copy(update={"speeds": None, "ratios": {}})
    write(baseline, baseline_path(world.baselines, CASE, baseline.key))
    assert 4 == world.check()
    assert ("", "step_time_ratio") in world.listed("missing")
    (world.folder / "out").rename(world.folder / "before")
    assert 0 == world.check("--exact-only")


def test_ratios_to_another_loop_are_not_comparable(world: World) -> None:
    """The remedy is the order of --loops; nothing is measured in vain."""
    world.accept()
    world.measurements = []
    assert 4 == world.check("--loops", "trainer,plain")
    assert ("trainer", "step_time_ratio") in world.listed("not_comparable")
    assert "name plain first in --loops" in world.output


def inverted_speeds(patch: pytest.MonkeyPatch) -> None:
    right = Change.classify
    swap = {"slower": "faster", "faster": "slower"}
    patch.setattr(Change, "classify", lambda *given: swap.get(m := right(*given), m))


def blind_speeds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Change, "classify", lambda *_: "unchanged")


def wrong_way_round(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Change, "mean", property(lambda self: self.before.mean - self.now.mean))


def blind_facts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("harness.regression.compare_facts._differences", lambda *_: iter(()))


def lax_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("harness.regression.compare_facts.MEMORY_MARGIN", 0.5)


def any_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("harness.regression.compare_facts.key_differences", lambda *_: {})


def green_verdict(patch: pytest.MonkeyPatch) -> None:
    for module in ("check", "self_check"):
        patch.setattr(f"harness.regression.{module}.verdict", lambda _: "equivalent")


def one_measurement(patch: pytest.MonkeyPatch) -> None:
    for module in ("check", "self_check"):
        patch.setattr(f"harness.regression.{module}.combine", lambda first, _: first)


@pytest.mark.parametrize(
    "fault",
    [
        inverted_speeds,
        blind_speeds,
        wrong_way_round,
        blind_facts,
        lax_memory,
        any_key,
        green_verdict,
        one_measurement,
    ],
)
def test_a_broken_regression_check_refuses_to_run(
    fault: Callable[[pytest.MonkeyPatch], None], world: World
) -> None:
    """Each planted fault of the check itself is found before a check: exit code 3, no report."""
    world.accept()
    fault(world.patch)
    assert 3 == world.check()
    assert "the regression check must classify" in world.output
    assert not (world.folder / "out").exists()
