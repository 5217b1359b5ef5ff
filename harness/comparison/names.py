"""Matches the tensors of two models whose names differ, and states how.

Wrappers put a prefix before each name (`module.`, `_orig_mod.`, `net.`). Names are matched in this
order, and each later rule reads only what the earlier ones left:

1. `--rename`: a stated prefix of the candidate is replaced.
2. Equal names, if all names of one side are names of the other.
3. One prefix on each side before a common rest. The pair of prefixes that matches most tensors is
   taken. Two pairs that match equally many are decided by the initial values, or not at all.
4. Equal initial values that only one tensor on each side has, and the tensors beside those.
5. Equal initial values of as many tensors on both sides (biases of zero), in their order: those
   whose names end alike, then the others.

If all names are equal, but a script names its models by their class and watches them in another
order, whole models are matched by their initial values.

What is not matched is listed, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.results.arrow import as_numpy
from harness.results.record import RunRecord

__all__ = ["NameMatch", "Rename", "match_names", "match_tensors", "named_tensors", "renamed"]

_CLASS_NAME = re.compile(r"[A-Z]\w*(-\d+)?")
"""What stands before the names of each of several models."""
_MOST_ALIKE = 256  # names with one longest suffix; of more, none is the obvious one

Rename = tuple[str, str]
"""A prefix of names in the candidate, and what replaces it."""


@dataclass(frozen=True)
class NameMatch:
    """Which tensor of the candidate is which tensor of the reference."""

    pairs: Mapping[str, str]
    """Name in the reference, by the name in the candidate."""
    reference_only: tuple[str, ...] = ()
    """Names in the reference without a counterpart, in the order of the model."""
    candidate_only: tuple[str, ...] = ()
    """Names in the candidate without a counterpart, in the order of the model."""
    how: tuple[str, ...] = ()
    """How names that differ were matched, one sentence each."""
    by_values: int = 0
    """How many tensors with other names were matched by their initial values."""

    @property
    def translates(self) -> bool:
        """Whether a tensor has another name in the candidate."""
        return any(name != other for name, other in self.pairs.items())

    @property
    def nothing_in_common(self) -> bool:
        """Whether both runs have tensors, and none of one is one of the other."""
        return bool(not self.pairs and self.reference_only and self.candidate_only)

    @property
    def sentence(self) -> str:
        """How the names were matched, in one line; empty if all names are equal."""
        if not self.how:
            return ""
        total = len(self.pairs) + max(len(self.reference_only), len(self.candidate_only))
        parts = [*self.how, f"{len(self.pairs)} of {total} matched"]
        for names, side in (
            (self.reference_only, "reference"),
            (self.candidate_only, "candidate"),
        ):
            if names:
                parts.append(f"only in the {side}: {_listed(names)}")
        if self.reference_only and self.candidate_only:
            parts.append("match others with --rename OLD=NEW")
        return "; ".join(parts)


def named_tensors(record: RunRecord) -> dict[str, int | None]:
    """The tensors of a record in the order of its model, with the digests of their initial values.

    None where the digest was not recorded. Raises `RecordError` if the trace is damaged.
    """
    names: dict[str, int | None] = dict.fromkeys(record.header.parameter_names)
    table = record.tensors
    if not len(table):
        return names
    steps = as_numpy(table["step"])
    others = np.flatnonzero(steps != steps[0])
    held = table.slice(0, int(others[0]) if len(others) else len(table))
    weights = held["weight"].to_pylist() if steps[0] == 0 else [None] * len(held)
    found = dict(zip(map(str, held["tensor"].to_pylist()), weights, strict=True))
    return found or names


def renamed(names: Iterable[str], renames: Sequence[Rename]) -> dict[str, str]:
    """The new name of each name: the first rename whose old prefix begins it applies."""
    found = {}
    for name in names:
        old, new = next((r for r in renames if name.startswith(r[0])), ("", ""))
        found[name] = new + name[len(old) :]
    return found


def match_tensors(
    reference: RunRecord, candidate: RunRecord, renames: Sequence[Rename] = ()
) -> NameMatch:
    """Match the tensors of two records. Raises `RecordError` if a trace is damaged."""
    return match_names(named_tensors(reference), named_tensors(candidate), renames)


def match_names(
    reference: Mapping[str, int | None],
    candidate: Mapping[str, int | None],
    renames: Sequence[Rename] = (),
) -> NameMatch:
    """Match names; both map each name to the digest of its initial value, or to None."""
    if not renames and reference.keys() == candidate.keys():
        return _models_in_order(reference, candidate)
    back = {new: old for old, new in renamed(candidate, renames).items()}
    if len(back) < len(candidate):  # two names would become one
        back = {name: name for name in candidate}
        renames = ()
    theirs = {new: candidate[old] for new, old in back.items()}
    search = _Search(reference, theirs)
    if any(new != old for new, old in back.items()):
        changed = sum(new != old for new, old in back.items())
        search.how.append(f"--rename changes {_count(changed)} of the candidate")
    search.run()
    pairs = {back[new]: old for new, old in search.pairs.items()}
    return NameMatch(
        pairs={name: pairs[name] for name in candidate if name in pairs},
        reference_only=tuple(search.left),
        candidate_only=tuple(back[name] for name in search.right),
        how=tuple(search.how),
        by_values=search.by_values,
    )


def _models_in_order(
    reference: Mapping[str, int | None], candidate: Mapping[str, int | None]
) -> NameMatch:
    """Match equal names; or models, if each has the initial values of one under another name."""
    same = NameMatch({name: name for name in candidate})
    left, right = _by_model(reference), _by_model(candidate)
    moved = {model for model in left if left[model] != right[model]}
    if not all(_CLASS_NAME.fullmatch(model) for model in moved):
        return same
    if not moved or any(None in values.values() for values in (*left.values(), *right.values())):
        return same
    places: dict[str, str] = {}
    for model in moved:
        like = [other for other in moved if right[other] == left[model]]
        if len(like) != 1:
            return same
        places[like[0]] = model
    if len(places) < len(moved):
        return same
    pairs = {name: _under(name, places) for name in candidate}
    one, other = min(places.items())
    how = f"models in another order, matched by initial values ({other} is {one} in the candidate)"
    return NameMatch(pairs, how=(how,))


def _by_model(names: Mapping[str, int | None]) -> dict[str, dict[str, int | None]]:
    """The values of each model by the rest of their names."""
    found: dict[str, dict[str, int | None]] = defaultdict(dict)
    for name, value in names.items():
        model, _, rest = name.partition(".")
        found[model][rest] = value
    return found


def _under(name: str, places: Mapping[str, str]) -> str:
    model, dot, rest = name.partition(".")
    return f"{places.get(model, model)}{dot}{rest}"


class _Search:
    """The names that are still to be matched, and what was found."""

    def __init__(self, left: Mapping[str, int | None], right: Mapping[str, int | None]) -> None:
        self.left, self.right = dict(left), dict(right)
        self.pairs: dict[str, str] = {}
        self.how: list[str] = []
        self.by_values = 0

    def run(self) -> None:
        """Apply the rules in their order."""
        if self.left.keys() <= self.right.keys() or self.right.keys() <= self.left.keys():
            self._accept((name, name) for name in list(self.left) if name in self.right)
        else:
            self._by_prefix()
        if self.left and self.right:
            before = list(self.pairs.items())
            self._by_value()
            self._by_order(lambda name: name.rpartition(".")[2])
            self._by_order(lambda _: "")
            new = list(self.pairs.items())[len(before) :]
            self.by_values = len(new)
            if new:
                theirs, ours = new[0]
                self.how.append(
                    f"{_count(len(new))} with other names matched by initial values "
                    f"({ours} is {theirs} in the candidate)"
                )
        if (self.left or self.right) and not self.how:
            self.how.append("the two do not have the same tensors")

    def _accept(self, found: Iterable[tuple[str, str]]) -> int:
        """Match pairs (reference, candidate); return their number."""
        count = 0
        for ours, theirs in found:
            del self.left[ours], self.right[theirs]
            self.pairs[theirs] = ours
            count += 1
        return count

    def _by_prefix(self) -> None:
        while self.left and self.right:
            groups = self._prefix_groups()
            most = max(map(len, groups.values()), default=0)
            best = {prefixes: found for prefixes, found in groups.items() if len(found) == most}
            chosen = {
                prefixes: found
                for prefixes, found in best.items()
                if not any(_conflict(found, other) for other in best.values() if other is not found)
            }
            if not chosen:
                agreeing = {prefixes: self._agreeing(found) for prefixes, found in best.items()}
                top = max(agreeing.values(), default=0)
                chosen = {p: found for p, found in best.items() if top and agreeing[p] == top}
                if len(chosen) != 1:
                    return
            for prefixes, found in chosen.items():
                self._accept(found)
                if prefixes != ("", ""):
                    self.how.append(_prefix_sentence(*prefixes))

    def _prefix_groups(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """The pairs that each pair of prefixes before a common rest would match."""
        by_suffix = defaultdict(list)
        for name in self.right:
            for suffix in _suffixes(name):
                by_suffix[suffix].append(name)
        groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for name in self.left:
            longest = next((s for s in _suffixes(name) if s in by_suffix), "")
            others = by_suffix.get(longest, [])
            if "." not in longest and name != longest:
                # The last word alone ("weight") names no tensor, unless it is a whole name.
                others = [longest] if longest in self.right else []
            for other in others if len(others) <= _MOST_ALIKE else ():
                groups[name[: -len(longest)], other[: -len(longest)]].append((name, other))
        return {prefixes: found for prefixes, found in groups.items() if _one_to_one(found)}

    def _agreeing(self, found: Sequence[tuple[str, str]]) -> int:
        """The number of pairs with equal initial values."""
        return sum(
            self.left[one] is not None and self.left[one] == self.right[two] for one, two in found
        )

    def _by_value(self) -> None:
        """Values that one tensor alone has on each side; then the tensors beside those."""
        counts = Counter(self.left.values()), Counter(self.right.values())
        theirs = {digest: name for name, digest in self.right.items()}
        found = [
            (name, theirs[digest])
            for name, digest in self.left.items()
            if digest is not None and counts[0][digest] == counts[1][digest] == 1
        ]
        self._accept(found)
        modules: dict[str, set[str]] = defaultdict(set)
        for theirs_name, ours in self.pairs.items():
            modules[_module(ours)].add(_module(theirs_name))
        beside = []
        for name, digest in self.left.items():
            others = modules.get(_module(name), set())
            if len(others) == 1:
                other = next(iter(others)) + name[len(_module(name)) :]
                if other in self.right and self.right[other] == digest:
                    beside.append((name, other))
        self._accept(beside)

    def _by_order(self, kind: Callable[[str], str]) -> None:
        """Equal values of as many tensors of one kind on both sides, in their order."""
        groups: tuple[dict[tuple[str, int], list[str]], ...] = (
            defaultdict(list),
            defaultdict(list),
        )
        for names, group in ((self.left, groups[0]), (self.right, groups[1])):
            for name, digest in names.items():
                if digest is not None:
                    group[kind(name), digest].append(name)
        for key, ours in groups[0].items():
            theirs = groups[1].get(key, [])
            if len(ours) == len(theirs):
                self._accept(zip(ours, theirs, strict=True))


def _conflict(one: Sequence[tuple[str, str]], two: Sequence[tuple[str, str]]) -> bool:
    """Whether both match the same tensor of one side."""
    return any({pair[side] for pair in one} & {pair[side] for pair in two} for side in (0, 1))


def _one_to_one(found: Sequence[tuple[str, str]]) -> bool:
    return all(len({pair[side] for pair in found}) == len(found) for side in (0, 1))


def _suffixes(name: str) -> Iterator[str]:
    """The dotted suffixes of a name, the longest first."""
    while name:
        yield name
        name = name.partition(".")[2]


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _prefix_sentence(reference: str, candidate: str) -> str:
    if reference and candidate:
        return (
            f"names begin with `{reference}` in the reference and with `{candidate}` in the "
            "candidate"
        )
    return f"names differ by the prefix `{reference or candidate}`"


def _count(tensors: int) -> str:
    return "1 tensor" if tensors == 1 else f"{tensors} tensors"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)}, first {names[0]}"
