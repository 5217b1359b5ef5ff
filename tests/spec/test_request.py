"""A request: its cases, and how it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.spec.case import Case
from harness.spec.recipe import build
from harness.spec.request import RunRequest


def request(**fields: Any) -> RunRequest:
    return build(RunRequest, fields)


def test_the_default_is_the_paraphrase_case() -> None:
    """Without a word, one case by three loops."""
    (case,) = request().expanded_cases()
    assert ("paraphrase", "cpu", 1) == (case.name, case.device, case.world_size)
    assert ("plain", "accelerated", "trainer") == request().loops


def test_what_a_case_file_says_stays_unless_it_is_changed(tmp_path: Path) -> None:
    """The device, the digests and the processes of a case are its own."""
    path = tmp_path / "mine.toml"
    path.write_text('device = "cuda"\nworld_size = 2\ndigests = "host"\n[recipe]\nmax_steps = 3\n')
    (kept,) = request(cases=[str(path)]).expanded_cases()
    assert ("cuda", 2, "host", 3) == (
        kept.device, kept.world_size, kept.digests, kept.recipe.max_steps,
    )  # fmt: skip
    changed = request(
        cases=[str(path)], device="cpu", processes=1, digests="device", settings={"max_steps": "4"}
    )
    (other,) = changed.expanded_cases()
    assert ("cpu", 1, "device", 4) == (
        other.device, other.world_size, other.digests, other.recipe.max_steps,
    )  # fmt: skip


def test_devices_libraries_and_seeds_multiply_the_cases() -> None:
    """Each of them gives the case a name of its own, and keeps whose variant it is."""
    across = request(devices=["cpu", "cuda"], seeds=2).expanded_cases()
    assert ["cpu-seed42", "cpu-seed43", "cuda-seed42", "cuda-seed43"] == [
        case.name.removeprefix("paraphrase-") for case in across
    ]
    assert {"device"} == {case.digests for case in across}
    libraries = request(requirements=["a==1"], seeds=2).expanded_cases(["a 1", "a 2"])
    assert ["a-1-seed42", "a-1-seed43", "a-2-seed42", "a-2-seed43"] == [
        case.name.removeprefix("paraphrase-") for case in libraries
    ]
    assert {("paraphrase", "a 1"), ("paraphrase", "a 2")} == {
        (case.libraries_of, case.libraries) for case in libraries
    }


def test_options_reach_every_case_of_a_suite() -> None:
    """So do settings."""
    cases = request(suite="resume", settings={"num_threads": 2}, resume_at=4).base_cases
    assert len(cases) > 5
    assert {(2, 4)} == {(case.recipe.num_threads, case.resume_at) for case in cases}


def test_a_request_knows_how_it_is_typed(tmp_path: Path) -> None:
    """Only what differs from the defaults; lists, flags, repeated options and none."""
    (tmp_path / "my_loop.py").write_text("def train(workload, recipe, probe): ...")
    typed = request(
        cases=["paraphrase"],
        loops=["plain", str(tmp_path / "my_loop.py")],
        devices=["cpu", "cuda"],
        seeds=3,
        margins={"accuracy": 0.02, "perplexity": "5%"},
        settings={"max_grad_norm": None, "betas": (0.9, 0.95), "drop_last": True, "data": "rows"},
        timeout_s=60,
        resume=True,
        out=tmp_path,
        keep_going=True,
        spelling="python",
    ).command_line()
    assert [
        *("harness", "run", "paraphrase"),
        *("--set", "max_grad_norm=none", "--set", "betas=[0.9, 0.95]"),
        *("--set", "drop_last=true", "--set", "data=rows"),
        *("--loops", f"plain,{tmp_path}/my_loop.py", "--devices", "cpu,cuda"),
        *("--timeout", "60.0", "--seeds", "3"),
        *("--margin", "accuracy=0.02", "--margin", "perplexity=5%"),
        *("--out", str(tmp_path), "--resume"),
    ] == typed


def test_a_field_of_the_wrong_type_is_one_line() -> None:
    """As for a recipe."""
    for fields in ({"seeds": "many"}, {"jobs": 0}, {"processes": True}, {"master_port": 70000}):
        with pytest.raises(SpecError, match=next(iter(fields))) as caught:
            request(**fields)
        assert "\n" not in str(caught.value)


def test_a_case_object_is_taken_as_it_is() -> None:
    """Its options are not filled in, and its name stands in the command line."""
    case = Case(name="mine", workload="paraphrase")
    made = request(cases=[case])
    assert (case,) == made.base_cases
    assert ["harness", "run", "mine"] == made.command_line()


@pytest.mark.parametrize(
    ("options", "localizes"),
    [
        ({}, True),
        ({"localize": False}, False),
        ({"localize": True}, True),
        ({"seeds": 3}, False),
        ({"devices": ("cpu", "cuda")}, False),
    ],
)
def test_pairs_are_localized_by_default_and_as_chosen(
    options: dict[str, Any], localizes: bool
) -> None:
    """Not those of several seeds or devices, unless it is asked for."""
    assert localizes == build(RunRequest, options).localizes
