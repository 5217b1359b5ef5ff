"""Devices: an absent device is reported and never passes; generators are restored."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.spec.recipe import DEVICES
from harness.training import devices
from tests.faults.mutations import path_of
from tests.support.answers import Ask
from tests.support.small_runs import comparison, small_case, train, write_pairs

ABSENT = next(name for name in DEVICES if devices.absence(name))
"""A device that is absent here: no machine has all of them."""


def test_an_absent_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU is always available; another device if torch reports it."""
    assert "" == devices.absence("cpu")
    assert f"no {ABSENT.upper()} device" == devices.absence(ABSENT)
    monkeypatch.setattr(devices, "_is_available", lambda name: name == "cuda")
    assert "" == devices.absence("cuda")
    assert "no XPU device" == devices.absence("xpu")


def test_generators_of_every_device_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA and XPU have one generator per device, MPS has one."""
    held: dict[str, Any] = {"cuda": [torch.ones(1), torch.ones(2)], "mps": torch.ones(3)}

    def module(name: str) -> Any:
        return SimpleNamespace(
            get_rng_state=lambda: held[name],
            get_rng_state_all=lambda: held[name],
            set_rng_state=lambda state: held.update({name: state}),
            set_rng_state_all=lambda states: held.update({name: states}),
        )

    monkeypatch.setattr(devices, "_is_available", lambda name: name in held)
    monkeypatch.setattr(torch, "get_device_module", module)
    states = devices.generator_states()
    before = dict(held)
    held.update(cuda=[], mps=None)
    devices.set_generator_states(states)
    assert before == held
    assert {"cuda": held["cuda"], "mps": [held["mps"]]} == states


@pytest.mark.slow
def test_an_absent_device_gives_no_verdict(ask: Ask) -> None:
    """Exit code 4; every run and pair states the reason, and no other device is used."""
    found = ask("run", "--device", ABSENT, "--loops", "plain,trainer", "--out", "out")
    why = f"not run: no {ABSENT.upper()} device"
    report = json.loads(Path("out/report.json").read_text("utf-8"))

    assert 4 == found.code
    assert "no_verdict" == report["verdict"]
    told = " ".join(found.out.split())  # in lines of 80 columns
    assert f"plain {why}" in told
    assert f"trainer {why}" in told
    assert [("not run", 0, {}, ABSENT)] * 2 == [
        (run["status"], run["steps"], run["final_metrics"], run["device"]) for run in report["runs"]
    ]
    assert [f"plain {why}; trainer {why}"] == report["comparisons"][0]["doubts"]
    assert why in Path("out/report.md").read_text("utf-8")


@pytest.mark.slow
def test_a_loop_across_devices_with_and_without_seeds(ask: Ask) -> None:
    """The CPU's run is trained; the pair has no verdict and states the reason."""
    short = ["--loops", "plain", "--set", "max_steps=2", "--set", "train_rows=16"]
    short += ["--set", "eval_rows=8", "--devices", f"cpu,{ABSENT}"]
    found = ask("run", *short, "--out", "one")
    assert 4 == found.code
    told = " ".join(found.out.split())
    assert f"plain on {ABSENT} not run: no {ABSENT.upper()} device" in told
    report = json.loads(Path("one/report.json").read_text("utf-8"))
    assert ["completed", "not run"] == [run["status"] for run in report["runs"]]
    assert 1 == len(report["comparisons"])
    assert 1 == len(report["comparisons"][0]["doubts"])

    found = ask("run", *short, "--seeds", "2", "--out", "two")
    assert 4 == found.code
    report = json.loads(Path("two/report.json").read_text("utf-8"))
    (pair,) = report["comparisons"]
    assert ("incomparable", "paraphrase") == (pair["outcome"], pair["case"])
    why = f"plain on {ABSENT}, seeds 42, 43 not run: no {ABSENT.upper()} device"
    assert why == pair["doubts"][0]


@pytest.mark.slow
def test_digests_of_the_device_give_the_verdicts_of_the_host(tmp_path: Path) -> None:
    """With either algorithm two loops are identical and a planted fault is found at one place.

    Runs with different algorithms are not comparable.
    """
    case = small_case(write_pairs(tmp_path / "data"), num_epochs=2)
    fault = path_of("one_ulp_in_one_weight")
    found = {}
    for where in ("host", "device"):
        asked = case.model_copy(update={"digests": where})
        found[where] = train(asked, ["plain", "trainer", fault], tmp_path / where)
    outcomes = {
        where: [comparison(records, "plain", other) for other in ("trainer", Path(fault).stem)]
        for where, records in found.items()
    }
    for same, other in outcomes.values():
        assert ["identical", "different"] == [same.outcome, other.outcome]
    host, device = (pairs[1].first_divergence for pairs in outcomes.values())
    assert host is not None
    assert device is not None
    assert host.place == device.place
    assert host.tensor == device.tensor
    assert "splitmix64_sums" == found["device"]["plain"].header.digest_algorithm
    mixed = {"host": found["host"]["plain"], "device": found["device"]["plain"]}
    across = comparison(mixed, "host", "device")
    assert "incomparable" == across.outcome
    assert "run both with --digests device" in across.doubts[0]


@pytest.mark.slow
def test_a_nondeterministic_operation_is_named(tmp_path: Path) -> None:
    """The run fails, and its error names the operation that deterministic mode refused."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=2)
    records = train(case, [path_of("refused_operation")], tmp_path / "out")
    header = records["refused_operation"].header
    assert "failed" == header.status
    assert (header.error or "").startswith("deterministic mode refused put_, ")
