"""Statements about the data: batches, their order, and the numbers that are drawn for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.comparison.causes.run_view import RunView
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against
from harness.results.header import GLOBAL_GENERATOR

__all__ = [
    "accumulation",
    "batch_size",
    "draws",
    "drop_last",
    "order",
    "processes",
    "seed",
    "workers",
]

_LOADER = ("loader", "loader")
_ROWS = ("data_order", "batch_content")
_MOST_DRAWS = "more than 63"  # `draws_since_seed` counts no further
_FEW = 8  # rows that are in order by chance once in 40,000 times


def batch_size(ground: Ground) -> Iterator[Statement]:
    """Rows in a batch: the loader's setting, or else those of the first batch that differs."""
    sizes = ground.batch_sizes
    differ = None not in sizes and sizes[0] != sizes[1]
    one, two = ground.values("loader.batch_size")
    if ground.differs("loader.batch_size"):
        text = f"batch size {against(two, one)}"
    elif differ and one is None and two is None and ground.at_start:
        one, two = sizes
        text = f"batch size {against(two, one)} in the first batch"
    elif differ and None in (one, two) and ground.at_start and (one, two) != sizes:
        known = [
            size if setting is None else setting
            for size, setting in zip(sizes, (one, two), strict=True)
        ]
        one, two = known
        text = f"batch size {against(two, one)}"
    else:
        return
    divided = ground.cut is not None and ground.stage in ("loss", "gradients", "grad_norm")
    explains = differ and ground.stage in _ROWS
    yield Statement(
        "batch_size", text, one, two, explains or divided, rounds=divided, sites=_LOADER
    )


def accumulation(ground: Ground) -> Iterator[Statement]:
    """Micro-batches in an update."""
    if ground.cut is not None and ground.cut.steps:
        step = min(ground.cut.steps)
        updates = ground.cut.reference[step], ground.cut.candidate[step]
    elif None not in ground.updates and ground.at_start:
        updates = ground.updates  # type: ignore[assignment]  # neither is None
    else:
        return
    one, two = (len(update.rows) // update.processes for update in updates)
    if one == two:
        return
    divided = ground.cut is not None and ground.stage in ("loss", "gradients", "grad_norm")
    yield Statement(
        "accumulation",
        f"micro-batches in an update: {against(two, one)}",
        one,
        two,
        explains=divided or (ground.cut is None and ground.stage in _ROWS),
        rounds=divided,
    )


def order(ground: Ground) -> Iterator[Statement]:
    """Whether the rows are shuffled, and by which generator."""
    one, two = (_order(run) for run in ground.runs)
    explains = ground.stage == "data_order" and _same_sizes(ground)
    sites = ("sampler", "sampler")
    if one and two and one != two:
        words = {"in order": "in the order of the set", "shuffled": "shuffled"}
        text = f"rows read {words[two]} against {words[one]}"
        yield Statement("order", text, one, two, explains, sites=sites)
    elif ground.differs("loader.sampler"):
        setting = ground.evidence.settings["loader.sampler"]
        yield Statement(
            "sampler",
            f"order of the rows from {setting.candidate} against {setting.reference}",
            setting.reference,
            setting.candidate,
            explains,
            sites=sites,
        )
    elif ground.differs("loader.seed"):
        one, two = ground.values("loader.seed")
        text = f"seed of the order of the rows {against(two, one)}"
        yield Statement("order_seed", text, one, two, explains, sites=sites)


def _same_sizes(ground: Ground) -> bool:
    return ground.batch_sizes[0] == ground.batch_sizes[1]


def _order(run: RunView) -> str | None:
    """`in order` or `shuffled`; of a loader that does not say it, from the numbers of the rows."""
    setting = run.setting("loader.order")
    if setting in ("in order", "shuffled"):
        return str(setting)
    if run.setting("loader.batch_size") is not None and run.setting("loader.sampler") is not None:
        return None
    rows = run.rows[: run.rows_in_set or len(run.rows)]
    if len(rows) < _FEW or (rows < 0).any() or run.world_size > 1:
        return None
    return "in order" if bool((np.diff(rows) == 1).all()) else "shuffled"


def drop_last(ground: Ground) -> Iterator[Statement]:
    """Whether the short last batch of an epoch is left out."""
    if not ground.differs("loader.drop_last"):
        return
    one, two = ground.values("loader.drop_last")
    longer = ground.differs("schedule") and ground.stage == "learning_rate"
    yield Statement(
        "drop_last",
        f"short last batch of an epoch {_dropped(two)} against {_dropped(one)}",
        one,
        two,
        explains=longer
        or ground.stage == "step_count"
        or (ground.stage == "data_order" and not _same_sizes(ground)),
        sites=_LOADER,
    )


def _dropped(drops: Any) -> str:
    return "left out" if drops else "kept"


def workers(ground: Ground) -> Iterator[Statement]:
    """Worker processes of the loader; they matter where the collator draws random numbers."""
    if not ground.differs("loader.num_workers"):
        return
    one, two = ground.values("loader.num_workers")
    drawing = any(
        run.setting("collator.draws") not in (0, False)
        and "collator.draws" in run.record.header.settings
        for run in ground.runs
    )
    text = f"worker processes of the loader: {against(two, one)}"
    if drawing:
        text += ", where the collator draws random numbers"
    yield Statement(
        "workers",
        text,
        one,
        two,
        explains=drawing and ground.stage in ("batch_content", "rng"),
        sites=_LOADER,
    )


def processes(ground: Ground) -> Iterator[Statement]:
    """Processes that train together."""
    if ground.differs("processes"):
        one, two = ground.values("processes")
        text = f"processes that train together: {against(two, one)}"
        yield Statement("processes", text, one, two, explains=ground.stage in _ROWS)


def seed(ground: Ground) -> Iterator[Statement]:
    """The seed of torch's global generator."""
    if not ground.differs("rng.seed"):
        return
    one, two = ground.values("rng.seed")
    drawn = {"initial_weights", "rng"}
    if all(run.setting("loader.sampler") == GLOBAL_GENERATOR for run in ground.runs):
        drawn.add("data_order")
    explains = ground.stage in drawn and ground.at_start
    yield Statement("seed", _seeds(ground, two, one), one, two, explains)


def _seeds(ground: Ground, candidate: Any, reference: Any) -> str:
    """Both seeds. One that torch drew from the system, as the program set none, is not shown."""
    unset = [run.setting("rng.seeded") is False for run in ground.runs]
    if all(unset):
        return "seed not set in either run, so torch drew each from the system"
    values = ["not set" if unset[0] else reference, "not set" if unset[1] else candidate]
    return f"seed {against(*values[::-1])}"


def draws(ground: Ground) -> Iterator[Statement]:
    """Random numbers that were drawn between the seed and the first step."""
    if ground.begins > 1 or ground.step != 1 or ground.differs("rng.seed"):
        return
    first = ground.evidence.first
    if ground.stage == "rng" and first is not None and first.micro_batch in (None, 1):
        name, when = "rng.draws_since_seed", "before the first forward pass"
    elif ground.stage == "data_order" and all(
        run.setting("loader.sampler") == GLOBAL_GENERATOR for run in ground.runs
    ):
        name, when = "rng.draws_at_watch", "before the training"
    else:
        return
    if not all(name in run.record.header.settings for run in ground.runs):
        return
    one, two = (_MOST_DRAWS if value is None else value for value in ground.values(name))
    if one != two:
        text = f"random numbers drawn since the seed and {when}: {against(two, one)}"
        yield Statement("draws", text, one, two, explains=True)
