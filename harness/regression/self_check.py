"""Test the regression check on known inputs before every use.

Made-up facts and times with a known result pass through the code that classifies measured ones. If
any result is wrong (an inverted comparison, a lost margin), the check refuses to run.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import RunFailed
from harness.regression.baseline import Baseline
from harness.regression.compare_facts import (
    CurrentFacts,
    exact_items,
    key_item,
    memory_items,
    verdict,
)
from harness.regression.compare_speeds import Tolerance, combine, compare_speeds
from harness.regression.facts import LoopFacts, Trace
from harness.regression.key import Key
from harness.regression.speeds import SessionTimes, Speeds
from harness.results.benchmark import CONTROL
from harness.results.regression import CheckItem, Listed

__all__ = ["run_self_check"]

_SESSIONS, _ROUNDS = 5, 3
_VARIATION = (1.000, 1.004, 0.997, 1.002, 0.998)
"""Factors of the made-up times: sessions differ slightly, so that intervals have a width."""


def run_self_check() -> None:
    """Raise `RunFailed` if the regression check misclassifies a known input."""
    for known, expected, found in _results():
        if expected != found:
            raise RunFailed(
                f"the regression check must classify {known} as {expected}",
                found,
                "nothing was checked; reinstall the harness",
            )


def _results() -> Iterator[tuple[str, str, str]]:
    """A known input, its expected result, and the result of the regression check."""
    baseline, same = _baseline(_facts()), _current(_facts())
    yield "equal facts", "equivalent", verdict([*exact_items(baseline, same)])
    yield "nothing at all", "no_verdict", verdict([])
    changed = {
        "one step more": _facts(steps=7),
        "one step less": _facts(steps=5),
        "one sample more": _facts(samples=49),
        "one parameter more": _facts(parameters=31),
        "other losses": _facts(loss="b"),
    }
    for known, facts in changed.items():
        yield known, "regression", verdict([*exact_items(baseline, _current(facts))])
    still = _current(_facts(), soundness_problems=("its gradients are zero at every step",))
    yield "zero gradients", "regression", verdict([*exact_items(baseline, still)])
    no_loop = CurrentFacts("case", _key(), {}, {}, {}, {})
    yield "a missing loop", "no_verdict", verdict([*exact_items(baseline, no_loop)])
    for known, size, listed in (
        ("equal memory", 1_000_000, "unchanged"),
        ("2% more memory", 1_020_000, "regressed"),
        ("2% less memory", 980_000, "improved"),
    ):
        (item,) = memory_items(baseline, _current(_facts(memory=size)))
        yield known, listed, item.listed
    yield "an equal key", "comparable", "not" if key_item(baseline, same) else "comparable"
    other = CurrentFacts("case", _key(cores=4), {}, {}, same.loops, {})
    item_of_key = key_item(baseline, other)
    yield "another machine", "not_comparable", item_of_key.listed if item_of_key else "comparable"
    yield from _speed_results()


def _speed_results() -> Iterator[tuple[str, str, str]]:
    before, tolerance = _speeds(), Tolerance()
    for known, now, expected in (
        ("equal speeds", _speeds(), ("unchanged", "unchanged")),
        ("a loop that is 10% slower", _speeds(loop=1.1), ("unchanged", "regressed")),
        ("a loop that is 10% faster", _speeds(loop=0.9), ("unchanged", "improved")),
        ("all loops 10% slower", _speeds(code=1.1), ("inconclusive", "unchanged")),
        ("a machine that is 10% slower", _speeds(machine=1.1), ("unchanged", "unchanged")),
    ):
        found = compare_speeds("case", before, now, tolerance)
        yield known, ", ".join(expected), ", ".join(item.listed for item in found.items)
    slow = compare_speeds("case", before, _speeds(loop=1.1), tolerance)
    fine = compare_speeds("case", before, _speeds(), tolerance)
    fast = compare_speeds("case", before, _speeds(loop=0.9), tolerance)
    for known, pair, expected_one in (
        ("slower in two measurements", (slow, slow), "regressed"),
        ("slower in the first measurement only", (slow, fine), "inconclusive"),
        ("slower in the second measurement only", (fine, slow), "inconclusive"),
        ("faster in two measurements", (fast, fast), "improved"),
        ("faster in the first measurement only", (fast, fine), "unchanged"),
    ):
        yield known, expected_one, _of_loop(combine(*pair).items)


def _of_loop(items: tuple[CheckItem, ...]) -> Listed:
    return next(item.listed for item in items if item.loop == "loop")


def _key(cores: int = 2) -> Key:
    return Key(
        schema_version=1,
        device="cpu",
        device_model=None,
        device_count=1,
        driver=None,
        cuda=None,
        cpu_model="a processor",
        cores=cores,
        threads=1,
        precision="fp32",
        determinism="",
        workload="a task",
        python="3.11",
        torch="2.13",
        transformers="5.23",
        accelerate="1.15",
    )


def _facts(
    steps: int = 6,
    samples: int = 48,
    parameters: int = 30,
    loss: str = "a",
    memory: int = 1_000_000,
) -> LoopFacts:
    return LoopFacts(
        recipe="a recipe",
        steps=steps,
        micro_batches=6,
        samples=samples,
        padded_tokens=480,
        parameters=parameters,
        initial_weights="0",
        traces={"loss_trace": Trace(rows=6, digest=loss, first=(0.7, 0.6))},
        final_metrics={"accuracy": 0.75},
        peak_allocated_bytes=memory,
    )


def _baseline(facts: LoopFacts) -> Baseline:
    return Baseline(
        case="case",
        reason="known",
        accepted_at="",
        commit=None,
        made_by="bench",
        key=_key(),
        asked={},
        versions={},
        loops={"loop": facts},
    )


def _current(facts: LoopFacts, soundness_problems: tuple[str, ...] = ()) -> CurrentFacts:
    return CurrentFacts("case", _key(), {}, {}, {"loop": facts}, {"loop": soundness_problems})


def _speeds(loop: float = 1.0, code: float = 1.0, machine: float = 1.0) -> Speeds:
    """Times of a reference, its control and a loop. `code` slows all loops, not the yardstick."""
    step_s = 0.04 * code * machine
    sessions = []
    for number in range(_SESSIONS):
        one, two = _VARIATION[number], _VARIATION[-1 - number]
        times = {"plain": one, CONTROL: two, "loop": loop * _VARIATION[(number + 2) % _SESSIONS]}
        sessions.append(
            SessionTimes(
                arms={arm: (step_s * value,) * _ROUNDS for arm, value in times.items()},
                yardstick_s=(0.004 * machine,) * _ROUNDS,
            )
        )
    return Speeds(
        statistic="own_step_s", reference="plain", steps_per_turn=10, sessions=tuple(sessions)
    )
