"""The pairs: outcome, first divergence, and the doubts that limit the outcome."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.document import (
    Block,
    Column,
    Folded,
    Section,
    Sentence,
    Subsection,
    Table,
    Values,
)
from harness.report.sections.noise import noise_table
from harness.report.sections.source import Source
from harness.report.text.causes import because
from harness.report.text.divergence import place, short_place
from harness.report.text.modules import sentence as localized
from harness.report.text.operations import code_lines, operation_sentence
from harness.report.text.seeds import seed_lines
from harness.report.text.values import capitalized, shown
from harness.results.comparison import Comparison

__all__ = ["pair_name", "section"]

_ALL = 6
"""Up to so many pairs, identical ones have a subsection, too."""
_TRACED = (
    "Every stage of every step is compared, in causal order. The first divergence is the earliest "
    "step, and within it the earliest stage, whose bits differ. Later differences usually follow "
    "from it."
)
_TIMED = (
    "Which loop takes longer per step, and whether the two compute the same values. The section "
    "on speed gives the certainty and the method."
)


def pair_name(comparison: Comparison) -> str:
    """The name of a pair in headings and tables."""
    return f"{comparison.case}: {comparison.candidate} against {comparison.reference}"


def section(source: Source) -> Section:
    """A table of all pairs, then each pair that is not identical."""
    report = source.report
    pairs = _differing_first(report.comparisons)
    timed = bool(report.bench)
    blocks: list[Block] = [_table(pairs, timed)] if pairs else [Sentence("No pair was compared.")]
    blocks += [
        Subsection(pair_name(pair), _blocks(pair), pair.outcome)
        for pair in pairs
        if pair.outcome != "identical" or len(pairs) <= _ALL
    ]
    introduction = _TIMED if timed else _TRACED
    return Section("pairs", "Pairs", tuple(blocks), introduction, "pairs that are not identical")


def _differing_first(pairs: Sequence[Comparison]) -> Sequence[Comparison]:
    """In their order; many pairs begin with those that are not identical, as tables are cut."""
    if len(pairs) <= _ALL:
        return pairs
    return sorted(pairs, key=lambda pair: pair.outcome == "identical")


def _table(pairs: Sequence[Comparison], timed: bool) -> Table:
    values = (Column("values", "outcome"),) if timed else ()
    columns = (
        Column("case", "text"),
        Column("candidate", "text"),
        Column("reference", "text"),
        Column("outcome", "outcome"),
        *values,
        Column("steps", note="timed" if timed else "compared"),
        Column("first divergence", "prose"),
        Column("cause", "prose", detail=True),
    )
    rows = []
    for pair in pairs:
        first = pair.first_divergence
        equality = (pair.equality or pair.outcome,) if timed else ()
        where = "none" if first is None else short_place(first)
        rows.append(
            (
                pair.case,
                pair.candidate,
                pair.reference,
                pair.outcome,
                *equality,
                str(pair.steps),
                where,
                _cause(pair),
            )
        )
    caption = "Outcome and first divergence of each pair."
    return Table("Pairs and their outcomes", columns, tuple(rows), caption, heading_column=1)


def _cause(pair: Comparison) -> str:
    """The cause if the pair differs; a pair within noise has none."""
    return because(pair).removeprefix("cause: ") if pair.outcome == "different" else ""


def _blocks(pair: Comparison) -> tuple[Block, ...]:
    blocks: list[Block] = []
    first = pair.first_divergence
    if first is not None:
        blocks.append(Sentence(f"First divergence: {place(first)}."))
        values = (pair.reference, shown(first.reference)), (pair.candidate, shown(first.candidate))
        blocks.append(Values(values))
    if pair.note:
        blocks.append(Sentence(f"Known reason: {pair.note}"))
    if pair.localization:
        code = operation_sentence(pair)
        if code:
            blocks.append(Sentence(code))
            blocks += [Values(tuple(code_lines(pair)))] if code_lines(pair) else []
        if pair.localization.place is not None:
            blocks.append(Sentence(f"Localized: {localized(pair.localization)}."))
        elif not code:
            blocks.append(Sentence(f"{localized(pair.localization)}."))
    blocks += [Sentence(f"{capitalized(line)}.") for line in pair.alignment]
    if pair.restriction:
        blocks.append(Sentence(f"Compared {pair.restriction}."))
    blocks += [Sentence(line) for line in seed_lines(pair)]
    blocks += [Sentence(doubt, "warning") for doubt in pair.doubts]
    if pair.noise:
        blocks.append(noise_table(pair_name(pair), pair.noise))
    if pair.stages:
        name = f"Stage by stage, {pair_name(pair)}"
        blocks.append(Folded(name, (_stages(name, pair),)))
    return tuple(blocks)


def _stages(name: str, pair: Comparison) -> Table:
    rows = []
    for stage in pair.stages:
        text = f"equal in all {stage.compared}"
        if stage.first is not None:
            text = f"differs in {stage.differing} of {stage.compared}, from step {stage.first.step}"
            if stage.follows:
                text += f"; may follow from {stage.follows}"
        rows.append((stage.stage, text))
    columns = Column("stage"), Column("bit for bit", "prose", "values compared")
    return Table(name, columns, tuple(rows))
