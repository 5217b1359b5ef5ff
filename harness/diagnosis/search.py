"""Find the recipe fields that cause the difference of two runs, by experiment.

The search asks which differing fields must have the reference's values, so that the candidate
computes what the reference does. Fields act at different times, so the search proceeds in windows
of steps. The first window begins at the first divergence. Then the whole run is repeated with the
fields found so far. If it diverges later, the next window begins there. The explanation rests on
the last whole run, made from the first step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.diagnosis.distance import first_value_divergence, measure_gap
from harness.diagnosis.minimize import Subset, SubsetSearch
from harness.diagnosis.replay import Replay, Replays, ReplaysSpent, StepRange
from harness.diagnosis.windows import Window, differing_fields, step_bound, window_from
from harness.errors import SpecError
from harness.results.divergence import STAGES, Divergence
from harness.results.explanation import Contribution, Cost, Explanation, Gap
from harness.results.record import RunRecord

__all__ = ["FieldSearch"]

_UNSTEADY = "two replays of one range disagree: run the command again"


class FieldSearch:
    """The search for one pair. `explanation` holds the result, also after an early end."""

    def __init__(
        self,
        labels: tuple[str, str],
        reference: RunRecord,
        candidate: RunRecord,
        replays: Replays,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`on_progress` receives one line for each experiment."""
        self.proof: RunRecord | None = None
        """The whole run with the necessary fields switched to the reference's values."""
        self.failed: RunRecord | None = None
        """The failed run that ended the search."""
        self._labels, self._reference, self._candidate = labels, reference, candidate
        self._replays, self._on_progress = replays, on_progress
        self._values = differing_fields(reference.run_spec, candidate.run_spec)
        self._fields = list(self._values)
        self._steps = max(reference.header.steps, candidate.header.steps)
        self._outcome = "unfinished"
        self._windows: list[Window] = []
        self._search: SubsetSearch | None = None
        self._minimal = False
        self._remaining: Divergence | None = None
        self._refused: dict[str, str] = {}
        self._notes: list[str] = []
        self._contributions: list[Contribution] = []
        self._gap: Gap | None = None
        self._limit = 0
        self._gave_up = False
        self._may_start_late = "save_every" not in self._values

    def run(self) -> None:
        """Search, verify and measure. Raises `ReplaysSpent`; `SpecError` if no run is possible."""
        first = first_value_divergence(self._reference, self._candidate)
        if first is None:
            self._outcome = "identical"
            return
        if not self._fields:
            self._outcome, self._remaining = "code", first
            if self._reference.run_spec.loop == self._candidate.run_spec.loop:
                self._notes.append(self._environment_note())
            return
        while first is not None and self._remaining is None:
            self._on_progress(
                f"diverges at step {first.step} in {first.stage}: searching for fields"
            )
            self._search_window(first)
            if self._remaining is None and not self._gave_up:
                first = self._verify(first)
            if self._gave_up:
                return
        if len(self._windows) > 1 and self._remaining is None:
            self._drop_redundant()
        self._minimal = True
        self._outcome = "code" if self._remaining is not None else "explained"
        try:
            self._measure_contributions()
        except ReplaysSpent:
            self._notes.append("no more replays were allowed: some contributions were not measured")

    def _environment_note(self) -> str:
        """For two runs of one loop with one recipe: the differences of their environments."""
        one, two = (run.header.environment for run in (self._reference, self._candidate))
        names = [name for name in {**one, **two} if one.get(name) != two.get(name)]
        both = "both runs use one loop and one recipe"
        if not names:
            return f"{both}; no difference between their environments is recorded"
        return f"{both}; their environments differ in {', '.join(names)}"

    def _search_window(self, first: Divergence) -> None:
        """Find the fields that act in the window that begins at `first`."""
        steps_range, last = self._range(first)
        all_switched = self._replay_all_switched(steps_range)
        known = self._known
        undecided = [name for name in self._fields if name not in known]
        # A difference here may also mean that the loop does not resume exactly.
        if steps_range.start and not (all_switched.same and undecided):
            self._may_start_late = False
            steps_range, last = self._range(first)
            all_switched = self._replay_all_switched(steps_range)
        if all_switched.error:
            self.failed = all_switched.record
            self._give_up(f"the run with every field switched fails: {all_switched.error}")
            return
        if all_switched.first is not None:
            if not self._reference_repeats(all_switched.first.step):
                return
            self._remaining = all_switched.first
            last = self._remaining.step - 1
            if last < first.step:
                return
            steps_range = StepRange(last)
        if not undecided:
            self._give_up(_UNSTEADY)
            return
        self._limit += step_bound(undecided, steps_range, last) + self._steps

        def are_same(subsets: Sequence[Subset]) -> list[bool]:
            replays = self._replay([known | subset for subset in subsets], steps_range)
            return [replay.same for replay in replays]

        self._search = SubsetSearch(undecided, are_same)
        self._windows.append(Window(first, steps_range, last, self._search.run()))
        self._search = None

    def _give_up(self, why: str) -> None:
        self._gave_up = True
        self._notes.append(why)

    @property
    def _known(self) -> Subset:
        """The necessary fields found so far."""
        return frozenset(name for each in self._windows for name in each.fields)

    def _range(self, first: Divergence) -> tuple[StepRange, int]:
        return window_from(first, self._steps, self._may_start_late)

    def _replay_all_switched(self, steps_range: StepRange) -> Replay:
        """Replay with all fields switched, except those that the loop refuses."""
        (all_switched,) = self._replay([frozenset(self._fields)], steps_range)
        if not all_switched.error.startswith("refused"):
            return all_switched
        alone = self._replay([frozenset({name}) for name in self._fields], StepRange(1))
        for name, replay in zip(list(self._fields), alone, strict=True):
            if replay.error.startswith("refused"):
                self._refused[name] = replay.error.removeprefix("refused: ")
                self._fields.remove(name)
        if not self._fields:
            return all_switched
        (fewer,) = self._replay([frozenset(self._fields)], steps_range)
        if fewer.error.startswith("refused"):
            raise SpecError(fewer.error.removeprefix("refused: "))
        return fewer

    def _reference_repeats(self, last: int) -> bool:
        """Whether the reference repeats its own record; if not, no cause can be named."""
        self._on_progress("repeating the reference")
        again = self._replays.repeat_reference(self._reference.run_spec, last)
        if not again.same:
            first = again.first
            where = again.error or (f"at step {first.step} in {first.stage}" if first else "")
            self._give_up(
                f"{self._labels[0]} does not repeat its own record here ({where}), so no cause can "
                "be named: repeat both runs in one environment"
            )
        return again.same

    def _verify(self, first: Divergence) -> Divergence | None:
        """Repeat the whole run with the known fields switched; its first divergence."""
        (whole,) = self._replay([self._known], StepRange())
        if whole.error:
            self.failed = whole.record
            self._give_up(f"the whole run with the found fields switched fails: {whole.error}")
            return None
        self.proof = None if whole.first else whole.record
        last = self._windows[-1]
        if whole.first is None or whole.first.step > last.last:
            return whole.first
        if not last.steps_range.start:
            self._give_up(_UNSTEADY)
        # A replay from a checkpoint was equal, but the run from the beginning is not.
        self._may_start_late = False
        self._windows.pop()
        return first

    def _drop_redundant(self) -> None:
        """Drop fields of earlier windows that later fields make unnecessary."""
        for each in self._windows:
            for name in sorted(each.fields):
                fewer = self._known - {name}
                (replay,) = self._replay([fewer], each.steps_range)
                if replay.same:
                    (replay,) = self._replay([fewer], StepRange())
                if replay.same:
                    each.fields -= {name}
                    self.proof = replay.record
                    self._drop_redundant()
                    return

    def _measure_contributions(self) -> None:
        """Measure the effect of each field alone, and what remains as fields are switched."""
        if not self._windows:
            return
        record = self.proof or self._replay([self._known], self._windows[-1].steps_range)[0].record
        found = []
        for each in self._windows:
            names = sorted(each.fields)
            alone = self._replay([self._known - {name} for name in names], each.steps_range)
            for name, replay in zip(names, alone, strict=True):
                found.append((name, each, measure_gap(record, replay.record, each.last)))
        found.sort(key=lambda one: (one[1].last, *_order(one[2])))
        for name, _, measured in found:
            values = self._values[name]
            self._contributions.append(
                Contribution(field=name, reference=values[0], candidate=values[1], alone=measured)
            )
        fields = [name for name, _, _ in found]
        prefixes = [frozenset(fields[:count]) for count in range(len(fields))]
        remaining_gaps = []
        for each in self._windows:
            mine = [p for p, (_, owner, _) in zip(prefixes, found, strict=True) if owner is each]
            replays = self._replay(mine, each.steps_range)
            remaining_gaps += [measure_gap(record, replay.record, each.last) for replay in replays]
        self._gap, *after = [*remaining_gaps, Gap(loss=0.0, weights=0.0)]
        self._contributions = [
            one.model_copy(update={"left": remaining})
            for one, remaining in zip(self._contributions, after, strict=True)
        ]

    def _replay(self, subsets: Sequence[Subset], steps_range: StepRange) -> list[Replay]:
        sizes = ", ".join(str(len(subset)) for subset in subsets)
        end = "the end" if steps_range.last is None else f"step {steps_range.last}"
        self._on_progress(f"{sizes} of {len(self._values)} fields switched, up to {end}")
        return self._replays.replay(subsets, steps_range)

    @property
    def explanation(self) -> Explanation:
        """The result so far."""
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
        shown = max((each.last for each in self._windows), default=0)
        window = (0, 0)
        if self._windows:
            window = (self._windows[0].steps_range.start + 1, self._windows[0].last)
        return Explanation(
            case=self._candidate.spec.case_name,
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
            rest=self._remaining,
            refused=self._refused,
            notes=tuple(self._notes),
            cost=Cost(
                replays=self._replays.count,
                steps=self._replays.steps,
                limit=self._limit,
                reused=self._replays.reused,
            ),
        )


def _order(measured: Gap) -> tuple[int, int]:
    """Sort key: the first step and stage of an effect; a field without a seen effect is last."""
    if measured.step is None or measured.stage is None:
        return 2**31, 0
    return measured.step, STAGES.index(measured.stage)
