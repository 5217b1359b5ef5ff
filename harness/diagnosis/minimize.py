"""Find a minimal set of switches that makes two results equal: a search by experiment.

An experiment turns a set of switches on and reports whether the two results are equal. The search
begins with all switches on, where the results are equal. It turns off as many at a time as
possible: a half, then the halves of that half, down to single switches, as in delta debugging
(Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002). The result is
1-minimal: if any single switch is turned off, the results differ.

If turning on more switches never makes equal results differ, n switches of which k are needed take
at most `max_experiments(n, k)` experiments. Switches that mask one another may take more. The
result is 1-minimal in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Experiment", "Subset", "SubsetSearch", "max_experiments"]

Subset = frozenset[str]
Experiment = Callable[[Sequence[Subset]], Sequence[bool]]
"""For each of several sets: are the results equal if exactly these switches are on?"""


def max_experiments(switches: int, needed: int) -> int:
    """An upper bound on the experiments if no switch masks another."""
    halvings = max(switches - 1, 0).bit_length()
    return min(2 * max(switches - 1, 0), 2 * needed * halvings) + needed


class SubsetSearch:
    """One search. If it is interrupted, `enough` holds the smallest sufficient set so far."""

    def __init__(self, switches: Sequence[str], experiment: Experiment) -> None:
        """`switches`: in the order of halving; early ones are turned off first.

        The results are assumed equal with all switches on and different with none.
        """
        self._order = tuple(switches)
        self._experiment = experiment
        self.enough: Subset = frozenset(switches)
        """With these switches on, the results are equal."""
        self.minimal = False
        """Whether each of them is known to be needed."""
        self._known: dict[Subset, bool] = {self.enough: True, frozenset(): False}

    @property
    def experiments(self) -> int:
        """The number of experiments so far."""
        return len(self._known) - 2 if self._order else 0

    def run(self) -> Subset:
        """The 1-minimal set. Exceptions of an experiment propagate."""
        self._narrow(self._order)
        while not self.minimal:
            single = [name for name in self._order if name in self.enough]
            equal = self._run_experiments([self.enough - {name} for name in single])
            redundant = next((n for n, same in zip(single, equal, strict=True) if same), None)
            if redundant is None:
                self.minimal = True
            else:  # only if switches mask one another
                self.enough -= {redundant}
        return self.enough

    def _narrow(self, chunk: Sequence[str]) -> None:
        """Turn off as much as possible of a chunk that is needed in part."""
        if len(chunk) < 2:
            return
        halves = chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]
        # Both at once, since two parallel experiments take as long as one.
        removable = self._run_experiments([self.enough.difference(half) for half in halves])
        if removable[0]:
            self.enough = self.enough.difference(halves[0])
            self._narrow(halves[1])
        elif removable[1]:
            self.enough = self.enough.difference(halves[1])
            self._narrow(halves[0])
        else:
            self._narrow(halves[0])
            self._narrow(halves[1])

    def _run_experiments(self, subsets: Sequence[Subset]) -> list[bool]:
        new = [subset for subset in dict.fromkeys(subsets) if subset not in self._known]
        if new:
            self._known |= dict(zip(new, self._experiment(new), strict=True))
        return [self._known[subset] for subset in subsets]
