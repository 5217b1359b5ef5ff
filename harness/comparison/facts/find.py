"""Finds the statements about two runs that differ, and decides which of them explain.

A fact is a statement about settings, and true as such. It is said to explain the first divergence
only if it belongs to that stage. What merely rounds otherwise explains only if nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.comparison.causes.evidence import Evidence
from harness.comparison.facts import data, forward, gradients, loss, rates, update
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement
from harness.comparison.updates import Cut
from harness.results.comparison import Fact
from harness.results.record import Header

__all__ = ["facts_of"]

_RULES: tuple[Callable[[Ground], Iterator[Statement]], ...] = (
    forward.environment,
    forward.weights_dtype,
    data.processes,
    data.seed,
    data.batch_size,
    data.accumulation,
    data.drop_last,
    data.order,
    data.draws,
    data.workers,
    forward.training_mode,
    forward.dropout,
    forward.norm_eps,
    forward.label_smoothing,
    forward.loss_function,
    forward.backward_loss,
    loss.loss_factor,
    loss.added_losses,
    forward.compute_dtype,
    update.not_trained,
    rates.learning_rate,
    rates.schedule,
    rates.schedule_length,
    update.rule,
    update.weight_decay,
    update.decay_coupling,
    update.options,
    gradients.no_gradient,
    gradients.clipping,
    update.resumed_state,
    update.implementation,
    forward.attention,
    forward.flags,
)
"""In the order of training; what only rounds comes last."""


def facts_of(evidence: Evidence, cut: Cut | None) -> tuple[Fact, ...]:
    """The settings in which two runs differ: first those that explain the first divergence.

    Of runs without a divergence nothing explains: these settings had no effect.
    """
    ground = Ground(evidence, cut)
    found = [statement for rule in _RULES for statement in rule(ground)]
    certain = any(each.explains and not each.rounds for each in found)
    facts = [_fact(ground, each, certain) for each in found]
    return tuple(sorted(facts, key=lambda fact: not fact.explains_first))


def _fact(ground: Ground, statement: Statement, certain: bool) -> Fact:
    sites: dict[str, Any] = {}
    names = statement.sites
    lines = [_site(run.record.header, name) for run, name in zip(ground.runs, names, strict=True)]
    if statement.measured and lines[0][1] == lines[1][1]:
        lines = [("", ""), ("", "")]  # what differs is not in the line
    for side, (place, source) in zip(("reference", "candidate"), lines, strict=True):
        sites |= {f"{side}_site": place, f"{side}_source": source}
    return Fact(
        id=statement.id,
        text=statement.text,
        reference=statement.reference,
        candidate=statement.candidate,
        explains_first=statement.explains and not (statement.rounds and certain),
        **sites,
    )


def _site(header: Header, name: str) -> tuple[str, str]:
    """Place and source of a line; without that of a sampler, the loader's."""
    found = header.sites.get(name)
    if found is None and name == "sampler":
        found = header.sites.get("loader")
    return ("", "") if found is None else (found.place, found.source)
