"""Why one pair of runs parts: its search by experiment, from the first divergence to the proof.

The question is which of the fields in which two runs differ must be as the reference has them, for
the candidate to compute what the reference does. Fields act at different times, so the search goes
in rounds: from where the two part it looks at a stretch of steps; then the whole run is made with
the fields found so far, and where that parts later, the next round goes on from there. What is
said in the end rests on that whole run, made from its first step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.diagnosis.distance import first_value_divergence, measure_gap
from harness.diagnosis.minimize import Subset, SubsetSearch
from harness.diagnosis.replay import BudgetSpent, Replay, Replays, StepRange
from harness.diagnosis.windows import Window, differing_fields, step_bound, window_from
from harness.errors import SpecError
from harness.results.divergence import STAGES, Divergence
from harness.results.explanation import Contribution, Cost, Explanation, Gap
from harness.results.record import RunRecord

__all__ = ["FieldSearch"]


class FieldSearch:
    """One pair. Whatever ends it early, `explanation` says what is known by then."""

    def __init__(
        self,
        labels: tuple[str, str],
        reference: RunRecord,
        candidate: RunRecord,
        replays: Replays,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`told` hears what is being tried, a line at a time."""
        self.proof: RunRecord | None = None
        """The whole run with the fields switched that matter."""
        self.failed: RunRecord | None = None
        """A run without which no more can be said."""
        self._labels, self._reference, self._candidate = labels, reference, candidate
        self._replays, self._told = replays, told
        self._values = differing_fields(reference.spec, candidate.spec)
        self._fields = list(self._values)
        self._steps = max(reference.header.steps, candidate.header.steps)
        self._outcome = "unfinished"
        self._rounds: list[Window] = []
        self._search: SubsetSearch | None = None
        self._minimal = False
        self._rest: Divergence | None = None
        self._refused: dict[str, str] = {}
        self._notes: list[str] = []
        self._contributions: list[Contribution] = []
        self._gap: Gap | None = None
        self._limit = 0
        self._stuck = False
        self._may_start_late = "save_every" not in self._values

    def run(self) -> None:
        """Search, prove, and measure. Raises `BudgetSpent`; `SpecError` where nothing can run."""
        first = first_value_divergence(self._reference, self._candidate)
        if first is None:
            self._outcome = "identical"
            return
        if not self._fields:
            self._outcome, self._rest = "code", first
            if self._reference.spec.loop == self._candidate.spec.loop:
                self._notes.append(self._where_they_ran())
            return
        while first is not None and self._rest is None:
            self._told(f"parts at step {first.step} in {first.stage}: looking for fields")
            self._go_round(first)
            if self._rest is None and not self._stuck:
                first = self._prove(first)
            if self._stuck:
                return
        if len(self._rounds) > 1 and self._rest is None:
            self._drop_spare()
        self._minimal = True
        self._outcome = "code" if self._rest is not None else "explained"
        try:
            self._measure()
        except BudgetSpent:
            self._notes.append("the budget is used up, so not everything was measured")

    def _where_they_ran(self) -> str:
        """Of two runs of one loop with one recipe: in what their environments differ."""
        one, two = (side.header.environment for side in (self._reference, self._candidate))
        names = [name for name in {**one, **two} if one.get(name) != two.get(name)]
        told = ", ".join(names) or "nothing that is recorded"
        return f"both are runs of one loop; the places where they ran differ in {told}"

    def _go_round(self, first: Divergence) -> None:
        """Find what acts in the stretch from `first` on."""
        stretch, last = self._stretch(first)
        every = self._all_switched(stretch)
        known = self._known
        unsure = [name for name in self._fields if name not in known]
        if stretch.start and not (every.same and unsure):  # perhaps it does not resume exactly
            self._may_start_late = False
            stretch, last = self._stretch(first)
            every = self._all_switched(stretch)
        if every.error:
            self.failed = every.record
            self._give_up(f"with every field switched the run fails: {every.error}")
            return
        if every.first is not None:
            if not self._repeats(every.first.step):
                return
            self._rest = every.first
            last = self._rest.step - 1
            if last < first.step:
                return
            stretch = StepRange(last)
        if not unsure:
            self._give_up("what was the same in one replay is not in another: run it again")
            return
        self._limit += step_bound(unsure, stretch, last) + self._steps
        self._search = SubsetSearch(
            unsure,
            lambda subsets: [r.same for r in self._ask([known | s for s in subsets], stretch)],
        )
        self._rounds.append(Window(first, stretch, last, self._search.run()))
        self._search = None

    def _give_up(self, why: str) -> None:
        self._stuck = True
        self._notes.append(why)

    @property
    def _known(self) -> Subset:
        """Fields found so far."""
        return frozenset(name for each in self._rounds for name in each.fields)

    def _stretch(self, first: Divergence) -> tuple[StepRange, int]:
        return window_from(first, self._steps, self._may_start_late)

    def _all_switched(self, stretch: StepRange) -> Replay:
        """All fields as the reference has them, less those that the loop refuses."""
        (every,) = self._ask([frozenset(self._fields)], stretch)
        if not every.error.startswith("refused"):
            return every
        alone = self._ask([frozenset({name}) for name in self._fields], StepRange(1))
        for name, replay in zip(list(self._fields), alone, strict=True):
            if replay.error.startswith("refused"):
                self._refused[name] = replay.error.removeprefix("refused: ")
                self._fields.remove(name)
        if not self._fields:
            return every
        (fewer,) = self._ask([frozenset(self._fields)], stretch)
        if fewer.error.startswith("refused"):
            raise SpecError(fewer.error.removeprefix("refused: "))
        return fewer

    def _repeats(self, last: int) -> bool:
        """Whether the reference does here what its record says; else nothing is blamed."""
        self._told("does the reference repeat itself here?")
        again = self._replays.repeated(self._reference.spec, last)
        if not again.same:
            first = again.first
            where = again.error or (f"at step {first.step} in {first.stage}" if first else "")
            self._give_up(
                f"{self._labels[0]} does not repeat its own record here ({where}), so nothing can "
                "be blamed: make both runs anew in one environment"
            )
        return again.same

    def _prove(self, first: Divergence) -> Divergence | None:
        """Where the whole run with the known fields switched parts from the reference."""
        (whole,) = self._ask([self._known], StepRange())
        if whole.error:
            self.failed = whole.record
            self._give_up(f"with the fields found switched the run fails: {whole.error}")
            return None
        self.proof = None if whole.first else whole.record
        last = self._rounds[-1]
        if whole.first is None or whole.first.step > last.last:
            return whole.first
        if not last.stretch.start:
            self._give_up("what was the same in one replay is not in another: run it again")
        # What was the same from a checkpoint on is not from the beginning on.
        self._may_start_late = False
        self._rounds.pop()
        return first

    def _drop_spare(self) -> None:
        """A field found early may not be needed once one found later is switched."""
        for each in self._rounds:
            for name in sorted(each.fields):
                fewer = self._known - {name}
                (replay,) = self._ask([fewer], each.stretch)
                if replay.same:
                    (replay,) = self._ask([fewer], StepRange())
                if replay.same:
                    each.fields -= {name}
                    self.proof = replay.record
                    self._drop_spare()
                    return

    def _measure(self) -> None:
        """What each field does alone, and what is left as one after the other is switched."""
        if not self._rounds:
            return
        record = self.proof or self._ask([self._known], self._rounds[-1].stretch)[0].record
        found = []
        for each in self._rounds:
            names = sorted(each.fields)
            alone = self._ask([self._known - {name} for name in names], each.stretch)
            for name, replay in zip(names, alone, strict=True):
                found.append((name, each, measure_gap(record, replay.record, each.last)))
        found.sort(key=lambda one: (one[1].last, *_place(one[2])))
        for name, _, apart in found:
            values = self._values[name]
            self._contributions.append(
                Contribution(field=name, reference=values[0], candidate=values[1], alone=apart)
            )
        fields = [name for name, _, _ in found]
        prefixes = [frozenset(fields[:count]) for count in range(len(fields))]
        left = []
        for each in self._rounds:
            mine = [p for p, (_, owner, _) in zip(prefixes, found, strict=True) if owner is each]
            replays = self._ask(mine, each.stretch)
            left += [measure_gap(record, replay.record, each.last) for replay in replays]
        self._gap, *rest = [*left, Gap(loss=0.0, weights=0.0)]
        self._contributions = [
            one.model_copy(update={"left": gone})
            for one, gone in zip(self._contributions, rest, strict=True)
        ]

    def _ask(self, subsets: Sequence[Subset], stretch: StepRange) -> list[Replay]:
        sizes = ", ".join(str(len(subset)) for subset in subsets)
        end = "the end" if stretch.last is None else f"step {stretch.last}"
        self._told(f"{sizes} of {len(self._values)} fields switched, up to {end}")
        return self._replays.of(subsets, stretch)

    @property
    def explanation(self) -> Explanation:
        """What is known."""
        enough = self._known | (self._search.enough if self._search else frozenset())
        contributions = self._contributions or [
            Contribution(
                field=name,
                reference=self._values[name][0],
                candidate=self._values[name][1],
                alone=Gap(),
            )
            for name in self._values
            if name in enough
        ]
        shown = max((each.last for each in self._rounds), default=0)
        window = (0, 0)
        if self._rounds:
            window = (self._rounds[0].stretch.start + 1, self._rounds[0].last)
        return Explanation(
            case=self._candidate.spec.case.name,
            reference=self._labels[0],
            candidate=self._labels[1],
            outcome=self._outcome,
            steps=self._steps if self.proof or self._outcome == "identical" else shown,
            whole=self.proof is not None,
            window=window,
            differing=tuple(self._values),
            gap=self._gap,
            contributions=tuple(contributions),
            minimal=self._minimal,
            rest=self._rest,
            refused=self._refused,
            notes=tuple(self._notes),
            cost=Cost(
                replays=self._replays.count,
                steps=self._replays.steps,
                limit=self._limit,
                reused=self._replays.reused,
            ),
        )


def _place(apart: Gap) -> tuple[int, int]:
    """Sorts by where a field begins to act; one that was not seen to comes last."""
    if apart.step is None or apart.stage is None:
        return 2**31, 0
    return apart.step, STAGES.index(apart.stage)
