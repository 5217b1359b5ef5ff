"""Which of several switches are needed for two things to be the same: a search by experiment.

Nothing is known of the switches but the answers to one question: with these turned, are the two the
same? The search begins with all of them turned, where they are, and turns back as many at a time as
will go: a half, and where that spoils the sameness its halves, down to single ones, as in delta
debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002). What
is left is 1-minimal: turn back any single one, and the two part.

Where more switches never spoil the sameness, n switches of which k are needed take at most
`most_questions(n, k)` questions. Switches that mask one another may take more, and the answer is
1-minimal all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["AskSame", "Subset", "SubsetSearch", "most_questions"]

Subset = frozenset[str]
AskSame = Callable[[Sequence[Subset]], Sequence[bool]]
"""For each of several sets of switches: with these turned and no other, are the two the same?"""


def most_questions(switches: int, needed: int) -> int:
    """The most questions that a search asks of switches that do not mask one another."""
    halvings = max(switches - 1, 0).bit_length()
    return min(2 * max(switches - 1, 0), 2 * needed * halvings) + needed


class SubsetSearch:
    """One search. Whatever ends it early, what was found so far stands in `enough`."""

    def __init__(self, switches: Sequence[str], same: AskSame) -> None:
        """`switches`: in the order in which they are halved; what is early is turned back first.

        It is known, and not asked, that with all of them the two are the same, and with none not.
        """
        self._order = tuple(switches)
        self._same = same
        self.enough: Subset = frozenset(switches)
        """With these turned the two are the same."""
        self.minimal = False
        """Whether it is known that none of them can be left out."""
        self._known: dict[Subset, bool] = {self.enough: True, frozenset(): False}

    @property
    def questions(self) -> int:
        """How many were asked."""
        return len(self._known) - 2 if self._order else 0

    def run(self) -> Subset:
        """The set that is 1-minimal. What `same` raises goes on up."""
        self._narrow(self._order)
        while not self.minimal:
            single = [name for name in self._order if name in self.enough]
            answers = self._ask([self.enough - {name} for name in single])
            spare = next((n for n, same in zip(single, answers, strict=True) if same), None)
            if spare is None:
                self.minimal = True
            else:  # only where switches mask one another
                self.enough -= {spare}
        return self.enough

    def _narrow(self, chunk: Sequence[str]) -> None:
        """Turn back what will go of a chunk that cannot go as a whole."""
        if len(chunk) < 2:
            return
        halves = chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]
        # Both at once, since two experiments take no longer than one.
        goes = self._ask([self.enough.difference(half) for half in halves])
        if goes[0]:
            self.enough = self.enough.difference(halves[0])
            self._narrow(halves[1])
        elif goes[1]:
            self.enough = self.enough.difference(halves[1])
            self._narrow(halves[0])
        else:
            self._narrow(halves[0])
            self._narrow(halves[1])

    def _ask(self, subsets: Sequence[Subset]) -> list[bool]:
        new = [subset for subset in dict.fromkeys(subsets) if subset not in self._known]
        if new:
            self._known |= dict(zip(new, self._same(new), strict=True))
        return [self._known[subset] for subset in subsets]
