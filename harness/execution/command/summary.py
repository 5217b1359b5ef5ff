"""A traced command in a few lines: what was recorded, where it is, and what could not be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.execution.command.parts import Recorded
from harness.execution.command.trace import Traced
from harness.results.record import READ_FROM_GRAPH
from harness.tracing.attach.files import NO_MODULE

__all__ = ["no_training", "summary_lines"]

_RECORDS_SHOWN = 3


def summary_lines(traced: Traced, folder: Path) -> list[str]:
    """The lines that are shown at the end of the command."""
    return list(_lines(traced, folder))


def no_training(traced: Traced) -> list[str]:
    """That the command left no record, and why; empty if it left one."""
    if traced.recorded:
        return []
    return [f"NO TRAINING WAS RECORDED. {' '.join(traced.unseen)}".rstrip()]


def _lines(traced: Traced, folder: Path) -> Iterator[str]:
    for each in traced.recorded[:_RECORDS_SHOWN]:
        yield _record_line(each)
        header = each.record.header
        if header.probe_fault:
            fault = header.probe_fault
            yield f"a fault of the harness ended the recording, not the training: {fault}"
        if READ_FROM_GRAPH in header.observed:
            yield (
                "no module owns the parameters: a batch is seen as what autograd kept of it, and "
                "random generators as they are after the forward pass"
            )
        settings = header.settings
        if settings.get("rng.seeded") is False and settings.get("rng.draws_since_seed") != 0:
            yield (
                "the script has not seeded torch's random generator before it trained: what it "
                "draws from it is different each time"
            )
        unseen = [*header.unseen, *_invisible_passes(each)]
        if unseen:
            yield f"not seen: {' '.join(unseen)}"
    if len(traced.recorded) > _RECORDS_SHOWN:
        yield f"{len(traced.recorded) - _RECORDS_SHOWN} more records are in the report"
    yield from no_training(traced)
    if traced.recorded:
        for sentence in traced.unseen:
            yield sentence[0].lower() + sentence[1:]
    if traced.recorded or traced.imported_torch:
        yield f"report: {folder / 'report.html'}"
    else:
        yield "no report is written: there is nothing to report"


def _record_line(each: Recorded) -> str:
    header = each.record.header
    models = " and ".join(each.models) or "a model"
    rules = " and ".join(dict.fromkeys(one.rule for one in header.optimizers))
    held = sum(one.parameters for one in header.optimizers)
    if header.spec.world_size == 1 and held < len(header.parameter_names):
        rules += f", which updates {held} of them"
    size = _counted(len(header.parameter_names), "parameter")
    processes = header.spec.world_size
    where = f" on {processes} processes" if processes > 1 else ""
    status = "" if header.status == "completed" else f", {header.status}"
    return (
        f"{_counted(header.steps, 'update')} of {models} ({size}, {header.parameters:,} values) by "
        f"{rules}{where}{status}: {each.record.folder}"
    )


def _invisible_passes(each: Recorded) -> Iterator[str]:
    """How many backward passes went back through no forward pass that was seen."""
    content = each.record.micro_batches["batch_content"]
    if content.null_count and NO_MODULE not in each.record.header.unseen:
        passes = _counted(len(content), "backward pass", "es")
        yield f"The forward passes of {content.null_count} of {passes} were not seen."


def _counted(count: int, thing: str, ending: str = "s") -> str:
    return f"{count:,} {thing}{'' if count == 1 else ending}"
