"""Compare the exact facts and memory of a check with its baseline. Pure: no process, no file.

Each comparison is an item in one of the lists of `Listed`. A fact that has no counterpart becomes
an item of its own, and never an item in a passing list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.regression.baseline import Baseline
from harness.regression.facts import TRACES, LoopFacts, Trace
from harness.regression.key import Key, key_differences
from harness.results.regression import CheckItem, Listed, Tier
from harness.units import number, quantity

__all__ = ["MEMORY_MARGIN", "CurrentFacts", "exact_items", "key_item", "memory_items", "verdict"]

MEMORY_MARGIN = 0.01
_ROUNDING = 1e-5
"""The largest relative difference of losses that other kernels cause by rounding."""
_COUNTS = {
    "steps": "steps",
    "micro_batches": "micro-batches",
    "samples": "samples",
    "padded_tokens": "tokens, padding included",
    "parameters": "trained parameters",
}


@dataclass(frozen=True)
class CurrentFacts:
    """What a check measured of a case, before the comparison."""

    case: str
    key: Key
    asked: Mapping[str, Any]
    versions: Mapping[str, str]
    loops: Mapping[str, LoopFacts]
    soundness_problems: Mapping[str, Sequence[str]]
    """By loop: why its run is unfit as evidence."""


def verdict(
    items: Sequence[CheckItem],
) -> Literal["equivalent", "regression", "no_verdict"]:
    """The worst verdict of all items. Without items there is no verdict."""
    lists = {item.listed for item in items}
    if "regressed" in lists:
        return "regression"
    if not lists or lists & {"inconclusive", "not_comparable", "missing"}:
        return "no_verdict"
    return "equivalent"


def key_item(baseline: Baseline, current: CurrentFacts) -> CheckItem | None:
    """An item with the key fields that differ; None if baseline and check are comparable."""
    different = key_differences(baseline.key, current.key)
    if not different:
        return None
    names = dict.fromkeys([*baseline.asked, *current.asked])
    asked = [
        f"{name}: {_both(baseline.asked.get(name), current.asked.get(name))}"
        for name in names
        if "workload" in different and baseline.asked.get(name) != current.asked.get(name)
    ]
    # The digest of a task says nothing where the settings behind it are known.
    fields = [
        f"{name}: {_both(before, now)}"
        for name, (before, now) in different.items()
        if not (name == "workload" and asked)
    ] + asked
    words = (
        f"the baseline has another machine class or task: {'; '.join(fields)}; "
        f"{_facts_for_information(baseline, current)}"
    )
    return CheckItem(
        case=current.case,
        loop="",
        metric="key",
        tier="baseline",
        listed="not_comparable",
        sentence=words,
        before={name: before for name, (before, _) in different.items()},
        now={name: now for name, (_, now) in different.items()},
    )


def _facts_for_information(baseline: Baseline, current: CurrentFacts) -> str:
    """The first difference of the exact facts, if baseline and check are not comparable."""
    common = [name for name in current.loops if name in baseline.loops]
    if not common:
        return "no loop is in both"
    for name in common:
        facts = baseline.loops[name], current.loops[name]
        first = next(_differences(name, *facts, "", ""), None)
        if first is not None:
            return f"for information only: {name}: {first.sentence}"
    return "for information only: the exact facts are equal"


def exact_items(baseline: Baseline, current: CurrentFacts) -> Iterator[CheckItem]:
    """An item for each fact of each loop, differences first. A loop that only one has is
    missing."""
    versions = _version_changes(baseline, current)
    for loop in dict.fromkeys([*baseline.loops, *current.loops]):
        before, now = baseline.loops.get(loop), current.loops.get(loop)
        if before is None or now is None:
            yield _missing(current.case, loop, before is None)
            continue
        if before.recipe != now.recipe:
            words = f"{loop} follows another recipe than the baseline: accept a new baseline"
            yield _item(current.case, loop, "recipe", "exact", "not_comparable", words)
            continue
        for why in current.soundness_problems.get(loop, ()):
            yield _item(current.case, loop, "soundness", "exact", "regressed", why)
        different = list(_differences(loop, before, now, current.case, versions))
        yield from different
        metrics = {item.metric for item in different}
        for name in (*_COUNTS, "initial_weights", *TRACES, "final_metrics"):
            if name not in metrics and _value(before, name) is not None:
                words = f"{_title(name)}: equal"
                yield _item(current.case, loop, name, "exact", "unchanged", words)


def memory_items(baseline: Baseline, current: CurrentFacts) -> Iterator[CheckItem]:
    """Peak allocated memory of each loop, within `MEMORY_MARGIN`."""
    for loop, facts in baseline.loops.items():
        if loop not in current.loops:
            continue
        before, now = facts.peak_allocated_bytes, current.loops[loop].peak_allocated_bytes
        listed: Listed = "unchanged"
        if not before or now is None:
            listed = "missing"
            where = "the baseline" if not before else "this check"
            words = f"no peak memory in {where}: accept the output folder of harness bench --passes"
            ratio = None
        else:
            ratio = now / before
            sizes = _both(quantity(before, "B"), quantity(now, "B"))
            words = f"peak allocated memory {ratio - 1:+.2%} ({sizes})"
            if ratio > 1 + MEMORY_MARGIN:
                listed = "regressed"
                words += f"; an increase above {MEMORY_MARGIN:.0%} is a regression"
            elif ratio < 1 / (1 + MEMORY_MARGIN):
                listed = "improved"
        yield _item(
            current.case, loop, "peak_allocated_bytes", "memory", listed, words, before, now
        ).model_copy(update={"unit": "B", "ratio": ratio})


def _differences(
    loop: str, before: LoopFacts, now: LoopFacts, case: str, versions: str
) -> Iterator[CheckItem]:
    """The exact facts that differ, in causal order."""
    for name in (*_COUNTS, "initial_weights"):
        one, two = _value(before, name), _value(now, name)
        if one != two:
            words = f"{_title(name)}: {_both(one, two)}"
            if name == "initial_weights":
                words = (
                    f"{_title(name)} differ: a seed, the initialization or the checkpoint changed"
                )
            yield _item(case, loop, name, "exact", "regressed", words, one, two)
    for name in TRACES:
        old, new = before.traces.get(name), now.traces.get(name)
        if old is None and new is None:
            continue
        if old is None or new is None:
            where = "the baseline" if old is None else "this check"
            words = f"{_title(name)}: not in {where}"
            listed: Listed = "regressed" if new is None else "missing"
            yield _item(case, loop, name, "exact", listed, words)
        elif (old.digest, old.rows) != (new.digest, new.rows):
            yield _trace_item(case, loop, name, old, new, versions)
    if before.final_metrics != now.final_metrics:
        one, two = before.final_metrics, now.final_metrics
        changed = [key for key in dict.fromkeys([*one, *two]) if one.get(key) != two.get(key)]
        words = "; ".join(f"final {key}: {_both(one.get(key), two.get(key))}" for key in changed)
        yield _item(case, loop, "final_metrics", "exact", "regressed", words, one, two)


def _trace_item(
    case: str, loop: str, name: str, old: Trace, new: Trace, versions: str
) -> CheckItem:
    pairs = list(zip(old.first, new.first, strict=False))
    step = next((i for i, (one, two) in enumerate(pairs, start=1) if one != two), None)
    if step is None:
        length = " in length" if len(old.first) != len(new.first) else ""
        words = f"{_title(name)}: different{length}; the first {len(pairs)} stored values are equal"
        return _item(case, loop, name, "exact", "regressed", words)
    one, two = pairs[step - 1]
    words = f"{_title(name)}: first difference at step {step}"
    if isinstance(one, float) and isinstance(two, float):
        words += f" ({_both(number(one, 9), number(two, 9))})"
        worst = max(_relative(a, b) for a, b in pairs)
        if worst <= _ROUNDING:
            words += (
                f"; the largest relative difference of the stored steps is {worst:.1e}, the size "
                f"of rounding; other kernels, threads or library patches cause that{versions}; "
                "accept the run if the change is intended"
            )
    return _item(case, loop, name, "exact", "regressed", words, one, two)


def _both(before: Any, now: Any) -> str:
    """A value in the baseline and in the check."""
    return f"baseline {before}, now {now}"


def _relative(one: Any, two: Any) -> float:
    return abs(one - two) / max(abs(one), abs(two)) if one != two else 0.0


def _version_changes(baseline: Baseline, current: CurrentFacts) -> str:
    """Library versions that differ within one minor version, in parentheses; empty if none do."""
    changes = [
        f"{name}: {_both(version, current.versions.get(name))}"
        for name, version in baseline.versions.items()
        if current.versions.get(name) != version
    ]
    return f" ({'; '.join(changes)})" if changes else ""


def _missing(case: str, loop: str, in_baseline: bool) -> CheckItem:
    where, remedy = "this check", f"add it to --loops, or accept a run without {loop}"
    if in_baseline:
        where, remedy = "the baseline", f"accept a run with {loop}, or leave it out of --loops"
    words = f"{loop} is not in {where}: {remedy}"
    return _item(case, loop, "loop", "baseline", "missing", words)


def _value(facts: LoopFacts, name: str) -> Any:
    if name in TRACES:
        return facts.traces.get(name)
    return getattr(facts, name)


def _title(name: str) -> str:
    if name in TRACES:
        return TRACES[name].title
    names = {"initial_weights": "weights before the first step", "final_metrics": "final metrics"}
    return _COUNTS.get(name) or names[name]


def _item(
    case: str,
    loop: str,
    metric: str,
    tier: Tier,
    listed: Listed,
    words: str,
    before: Any = None,
    now: Any = None,
) -> CheckItem:
    return CheckItem(
        case=case,
        loop=loop,
        metric=metric,
        tier=tier,
        listed=listed,
        sentence=words,
        before=before,
        now=now,
    )
