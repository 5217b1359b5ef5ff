"""A baseline and what was found afresh -> items, each in its list. Pure: no process, no file.

Exact facts, then memory, then speeds; what cannot be held against anything is said so and is never
in a green list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.regression.baseline import Baseline
from harness.regression.facts import TRACES, LoopFacts, Trace
from harness.regression.key import Key, key_differences
from harness.results.regression import GateItem, Listed, Tier
from harness.units import number, quantity

__all__ = ["MEMORY_MARGIN", "CurrentFacts", "exact_items", "key_item", "memory_items", "verdict"]

MEMORY_MARGIN = 0.01
_ROUNDING = 1e-5
"""A relative difference of losses up to here is of the size that other kernels make."""
_COUNTS = {
    "steps": "steps",
    "micro_batches": "micro-batches",
    "samples": "samples",
    "padded_tokens": "tokens, padding included",
    "parameters": "trained parameters",
}


@dataclass(frozen=True)
class CurrentFacts:
    """What a check found of a case, before it is held against anything."""

    case: str
    key: Key
    asked: Mapping[str, Any]
    versions: Mapping[str, str]
    loops: Mapping[str, LoopFacts]
    soundness_problems: Mapping[str, Sequence[str]]
    """By loop: why its run proves nothing by itself."""


def verdict(
    items: Sequence[GateItem],
) -> Literal["equivalent", "regression", "no_verdict"]:
    """regression, no_verdict or equivalent: the worst of all; nothing at all is no verdict."""
    found = {item.listed for item in items}
    if "regressed" in found:
        return "regression"
    if not found or found & {"inconclusive", "not_comparable", "missing"}:
        return "no_verdict"
    return "equivalent"


def key_item(baseline: Baseline, current: CurrentFacts) -> GateItem | None:
    """Why the two cannot be compared: other fields of the key, with both values; None: they can."""
    apart = key_differences(baseline.key, current.key)
    if not apart:
        return None
    told = [f"{name} {before} then, {now} now" for name, (before, now) in apart.items()]
    if "workload" in apart:
        names = dict.fromkeys([*baseline.asked, *current.asked])
        told += [
            f"{name}={baseline.asked.get(name)} then, {current.asked.get(name)} now"
            for name in names
            if baseline.asked.get(name) != current.asked.get(name)
        ]
    same = [name for name in current.loops if name in baseline.loops]
    unlike = [
        name
        for name in same
        if any(_differences(name, baseline.loops[name], current.loops[name], "", ""))
    ]
    known = "no loop is in both"
    if same:
        known = "for information, the exact facts are equal"
        if unlike:
            first = next(_differences(unlike[0], *_pair(baseline, current, unlike[0]), "", ""))
            known = f"for information, not judged: {unlike[0]}: {first.words}"
    words = f"the baseline is of another machine class or task: {'; '.join(told)}; {known}"
    return GateItem(
        case=current.case,
        loop="",
        metric="key",
        tier="baseline",
        listed="not_comparable",
        words=words,
        before={name: before for name, (before, _) in apart.items()},
        now={name: now for name, (_, now) in apart.items()},
    )


def _pair(baseline: Baseline, current: CurrentFacts, loop: str) -> tuple[LoopFacts, LoopFacts]:
    return baseline.loops[loop], current.loops[loop]


def exact_items(baseline: Baseline, current: CurrentFacts) -> Iterator[GateItem]:
    """Each fact of each loop, first the ones that differ; a loop of one side only is missing."""
    since = _upgrades(baseline, current)
    for loop in dict.fromkeys([*baseline.loops, *current.loops]):
        before, now = baseline.loops.get(loop), current.loops.get(loop)
        if before is None or now is None:
            yield _missing(current.case, loop, before is None)
            continue
        if before.recipe != now.recipe:
            words = f"{loop} follows another recipe than the one of the baseline; accept a new one"
            yield _item(current.case, loop, "recipe", "exact", "not_comparable", words)
            continue
        for why in current.soundness_problems.get(loop, ()):
            yield _item(current.case, loop, "soundness", "exact", "regressed", why)
        apart = list(_differences(loop, before, now, current.case, since))
        yield from apart
        told = {item.metric for item in apart}
        for name in (*_COUNTS, "initial_weights", *TRACES, "final_metrics"):
            if name not in told and _value(before, name) is not None:
                words = f"{_title(name)}: equal"
                yield _item(current.case, loop, name, "exact", "unchanged", words)


def memory_items(baseline: Baseline, current: CurrentFacts) -> Iterator[GateItem]:
    """Peak allocated memory of each loop, within `MEMORY_MARGIN`."""
    for loop, facts in baseline.loops.items():
        if loop not in current.loops:
            continue
        before, now = facts.peak_allocated_bytes, current.loops[loop].peak_allocated_bytes
        listed: Listed = "unchanged"
        if not before or now is None:
            listed = "missing"
            side = "the baseline" if not before else "this check"
            words = f"no peak memory in {side}: accept the output folder of harness bench"
            ratio = None
        else:
            ratio = now / before
            sizes = f"{quantity(before, 'B')} then, {quantity(now, 'B')} now"
            words = f"peak allocated memory {ratio - 1:+.2%} ({sizes})"
            if ratio > 1 + MEMORY_MARGIN:
                listed = "regressed"
                words += f"; more than {MEMORY_MARGIN:.0%} is a regression"
            elif ratio < 1 / (1 + MEMORY_MARGIN):
                listed = "improved"
        yield _item(
            current.case, loop, "peak_allocated_bytes", "memory", listed, words, before, now
        ).model_copy(update={"unit": "B", "ratio": ratio})


def _differences(
    loop: str, before: LoopFacts, now: LoopFacts, case: str, since: str
) -> Iterator[GateItem]:
    """The exact facts that differ, in causal order."""
    for name in (*_COUNTS, "initial_weights"):
        one, two = _value(before, name), _value(now, name)
        if one != two:
            words = f"{_title(name)}: {one} then, {two} now"
            if name == "initial_weights":
                words = f"{_title(name)}: other ones; a draw, a seed or the checkpoint changed"
            yield _item(case, loop, name, "exact", "regressed", words, one, two)
    for name in TRACES:
        old, new = before.traces.get(name), now.traces.get(name)
        if old is None and new is None:
            continue
        if old is None or new is None:
            side = "the baseline" if old is None else "this check"
            words = f"{_title(name)}: not in {side}"
            listed: Listed = "regressed" if new is None else "missing"
            yield _item(case, loop, name, "exact", listed, words)
        elif (old.digest, old.rows) != (new.digest, new.rows):
            yield _trace_item(case, loop, name, old, new, since)
    if before.final_metrics != now.final_metrics:
        one, two = before.final_metrics, now.final_metrics
        changed = [key for key in dict.fromkeys([*one, *two]) if one.get(key) != two.get(key)]
        told = ", ".join(f"{key} {one.get(key)} then, {two.get(key)} now" for key in changed)
        yield _item(
            case, loop, "final_metrics", "exact", "regressed", f"final metrics: {told}", one, two
        )


def _trace_item(case: str, loop: str, name: str, old: Trace, new: Trace, since: str) -> GateItem:
    pairs = list(zip(old.first, new.first, strict=False))
    step = next((i for i, (one, two) in enumerate(pairs, start=1) if one != two), None)
    if step is None:
        where = f"from a step after {len(pairs)} on"
        if len(old.first) != len(new.first):
            where = f"{len(old.first)} steps then, {len(new.first)} now, equal as far as both go"
        words = f"{_title(name)}: differs, {where}"
        return _item(case, loop, name, "exact", "regressed", words)
    one, two = pairs[step - 1]
    words = f"{_title(name)}: differs from step {step} on"
    if isinstance(one, float) and isinstance(two, float):
        words += f", {number(one, 9)} then, {number(two, 9)} now"
        worst = max(_relative(a, b) for a, b in pairs)
        if worst <= _ROUNDING:
            words += (
                f"; never by more than {worst:.1e} of it, as rounding does: other kernels or "
                f"threads, or a patch of a library{since}; accept it where that was meant"
            )
    return _item(case, loop, name, "exact", "regressed", words, one, two)


def _relative(one: Any, two: Any) -> float:
    return abs(one - two) / max(abs(one), abs(two)) if one != two else 0.0


def _upgrades(baseline: Baseline, current: CurrentFacts) -> str:
    """Versions that differ though the minor ones do not, as ' (torch 2.13.0 then, ...)'."""
    told = [
        f"{name} {version} then, {current.versions.get(name)} now"
        for name, version in baseline.versions.items()
        if current.versions.get(name) != version
    ]
    return f" ({', '.join(told)})" if told else ""


def _missing(case: str, loop: str, in_baseline: bool) -> GateItem:
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
) -> GateItem:
    return GateItem(
        case=case,
        loop=loop,
        metric=metric,
        tier=tier,
        listed=listed,
        words=words,
        before=before,
        now=now,
    )
