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
    filled_columns,
)
from harness.report.sections.noise import noise_table
from harness.report.sections.source import Source
from harness.report.text.answers import follows_from_failure, implied, pair_anchor
from harness.report.text.causes import because, detail, unexplained
from harness.report.text.divergence import place, short_place
from harness.report.text.facts import also_lines
from harness.report.text.modules import sentence as localized
from harness.report.text.operations import code_lines, operation_sentence
from harness.report.text.programs import program_parts
from harness.report.text.seeds import seed_lines
from harness.report.text.summary import equal_before_the_end
from harness.report.text.values import capitalized, is_digest, setting_text, shown
from harness.results.comparison import Comparison
from harness.results.report import Report

__all__ = ["pair_name", "section"]

_LINES = 8
"""Lines of code that are shown unfolded."""
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


def section(source: Source) -> Section | None:
    """Each pair that is not identical, then those that follow from others; of many also a table."""
    report = source.report
    pairs = report.comparisons
    if not pairs:
        return None
    timed, follows = bool(report.bench), implied(pairs)
    blocks: list[Block] = [_table(_differing_first(pairs), timed)] if len(pairs) > _ALL else []
    shown = [
        _subsection(pair, place, report)
        for place, pair in _in_order(pairs)
        if place not in follows and (pair.outcome != "identical" or len(pairs) <= _ALL)
    ]
    blocks += [subsection for subsection in shown if subsection.blocks]
    if follows:
        inner = tuple(_subsection(pairs[place], place, report) for place in follows)
        blocks.append(Folded(_follow_from_others(len(follows)), inner))
    if not blocks:
        return None
    introduction = _TIMED if timed else _TRACED
    return Section("pairs", "Pairs", tuple(blocks), introduction, "pairs that are not identical")


def _follow_from_others(count: int) -> str:
    one = "1 pair, whose result follows" if count == 1 else f"{count} pairs, whose results follow"
    return f"{one} from the pairs above"


def _differing_first(pairs: Sequence[Comparison]) -> Sequence[Comparison]:
    """Many pairs begin with those that are not identical, as tables are cut."""
    return [pair for _, pair in _in_order(pairs)]


def _in_order(pairs: Sequence[Comparison]) -> list[tuple[int, Comparison]]:
    """Each pair with its place; of many, those first that are not identical."""
    placed = list(enumerate(pairs))
    if len(pairs) <= _ALL:
        return placed
    return sorted(placed, key=lambda one: one[1].outcome == "identical")


def _table(pairs: Sequence[Comparison], timed: bool) -> Table:
    columns = (
        Column("case", "text"),
        Column("candidate", "text"),
        Column("reference", "text"),
        Column("outcome", "outcome"),
        Column("values", "outcome"),
        Column("steps", note="timed" if timed else "compared"),
        Column("first divergence", "prose"),
        Column("cause", "prose", detail=True),
    )
    rows = tuple(
        (
            pair.case,
            pair.candidate,
            pair.reference,
            pair.outcome,
            (pair.equality or pair.outcome) if timed else "",
            str(pair.steps),
            "" if pair.first_divergence is None else short_place(pair.first_divergence),
            because(pair).removeprefix("cause: ") if pair.outcome == "different" else "",
        )
        for pair in pairs
    )
    caption = "Outcome and first divergence of each pair."
    return filled_columns(Table("Pairs and their outcomes", columns, rows, caption, 1))


def _subsection(pair: Comparison, place: int, report: Report) -> Subsection:
    if follows_from_failure(report, pair):
        equal = equal_before_the_end(pair)
        lines = filter(None, [pair.doubts[0], f"{capitalized(equal)}." if equal else ""])
        blocks: tuple[Block, ...] = tuple(map(Sentence, lines))
    else:
        blocks = _blocks(pair)
    return Subsection(pair_name(pair), blocks, pair.outcome, pair_anchor(place))


def _blocks(pair: Comparison) -> tuple[Block, ...]:
    blocks: list[Block] = []
    first = pair.first_divergence
    if first is not None:
        blocks.append(Sentence(f"First divergence: {place(first)}."))
        values = first.reference, first.candidate
        texts = shown(values[0]), shown(values[1])
        if not (first.detail and (all(map(is_digest, values)) or texts[0] == texts[1])):
            blocks.append(Values(((pair.reference, texts[0]), (pair.candidate, texts[1]))))
    if pair.note:
        blocks.append(Sentence(f"Known reason: {pair.note}"))
    blocks += [Sentence(text) for text in (detail(pair), unexplained(pair)) if text]
    if pair.localization:
        code = operation_sentence(pair)
        if code:
            blocks.append(Sentence(code))
            blocks += [Values(tuple(code_lines(pair)))] if code_lines(pair) else []
        for part in program_parts(pair):
            blocks.append(Sentence(part.sentence))
            if len(part.lines) > _LINES:
                name = f"The {len(part.lines)} lines of code"
                blocks.append(Folded(name, (Values(part.lines),)))
            elif part.lines:
                blocks.append(Values(part.lines))
        if pair.localization.place is not None:
            blocks.append(Sentence(f"Localized: {localized(pair.localization)}."))
        elif not code:
            blocks.append(Sentence(f"{localized(pair.localization)}."))
    blocks += [Sentence(line) for line in also_lines(pair)]
    blocks += [Sentence(f"{capitalized(line)}.") for line in pair.alignment]
    if pair.restriction:
        blocks.append(Sentence(f"Compared {pair.restriction}."))
    blocks += [Sentence(line) for line in seed_lines(pair)]
    blocks += [Sentence(doubt, "warning") for doubt in pair.doubts]
    if pair.noise:
        blocks.append(noise_table(pair_name(pair), pair.noise))
    if pair.settings:
        name = f"Settings that differ before the first step, {pair_name(pair)}"
        blocks.append(Folded(name, (_settings(name, pair),)))
    if pair.stages:
        name = f"Stage by stage, {pair_name(pair)}"
        blocks.append(Folded(name, (_stages(name, pair),)))
    return tuple(blocks)


def _settings(name: str, pair: Comparison) -> Table:
    columns = (
        Column("setting before the first step", "text"),
        Column(pair.reference, "prose"),
        Column(pair.candidate, "prose"),
    )
    rows = tuple(
        (setting.name, setting_text(setting.reference), setting_text(setting.candidate))
        for setting in pair.settings
    )
    return Table(name, columns, rows)


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
