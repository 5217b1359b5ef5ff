"""Statements about the gradients that an update is given: none, or clipped ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.comparison.causes.run_view import RunView
from harness.comparison.factors import UNIFORM, norms_at, one_factor
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against
from harness.units import number

__all__ = ["clipping", "no_gradient"]

_UPDATE = ("weights", "optimizer_state")


def no_gradient(ground: Ground) -> Iterator[Statement]:
    """An update that finds no gradient, or only zeros, where the backward pass made some."""
    if ground.stage not in _UPDATE:
        return
    for run, other in ground.evidence.ordered_pairs:
        raw, given = (norms_at(run.record, ground.step, name) for name in ("gradient", "applied"))
        others = norms_at(other.record, ground.step, "applied")
        if any(given.values()) or not any(raw.values()) or not any(others.values()):
            continue
        if any(run.moves(name) is not False for name in raw):
            continue  # else another way of updating, of which nothing is recorded
        total = math.hypot(*raw.values())
        one, two = (0.0 if each is run else math.hypot(*others.values()) for each in ground.runs)
        yield Statement(
            "no_gradient",
            f"the update of {run.label} is given no gradients, though the backward pass of step "
            f"{ground.step} makes some of norm {number(total)}",
            one,
            two,
            explains=True,
        )
        return


@dataclass(frozen=True)
class _Clip:
    """How a run clips its gradients before an update."""

    kind: str
    """`norm`, `norm P` for another norm than the 2-norm, `value`, or empty without clipping."""
    limit: float
    called: bool
    """Whether the call was seen; else it is what the update shows."""

    def same(self, other: _Clip) -> bool:
        """A limit that is measured has the rounding of norms in single precision."""
        return self.kind == other.kind and math.isclose(self.limit, other.limit, rel_tol=1e-3)

    @property
    def words(self) -> str:
        """What the gradients of an update are."""
        if not self.kind:
            return "not clipped"
        if self.kind == "value":
            return f"clipped by value at {number(self.limit)}"
        of = f"{self.kind.removeprefix('norm ')}-norm" if " " in self.kind else "norm"
        return f"{'clipped' if self.called else 'scaled'} to a {of} of {number(self.limit)}"

    @property
    def limit_words(self) -> str:
        """The limit, of a clip that need not act."""
        if not self.kind:
            return "none"
        if self.kind == "value":
            return f"values at {number(self.limit)}"
        of = f"{self.kind.removeprefix('norm ')}-norm" if " " in self.kind else "norm"
        return f"a {of} of {number(self.limit)}"


def clipping(ground: Ground) -> Iterator[Statement]:
    """At which norm or value gradients are clipped: as called, or as the update shows it."""
    one, two = (_clip(run) for run in ground.runs)
    if one is None or two is None or one.same(two):
        return
    acts = ground.stage in _UPDATE and _clip_acts(ground, one, two)
    text = f"an update uses gradients {two.words} against {one.words}"
    if not ground.stage and not (one.kind and two.kind):
        text = f"clipping of gradients: {two.limit_words} against {one.limit_words}"
    elif one.kind == two.kind == "norm" and not (one.called and two.called):
        text = f"an update uses gradients scaled to a norm of {against(two.limit, one.limit)}"
    elif one.kind == two.kind:
        how = {"norm": "", "value": " by value"}.get(one.kind, f" in the {one.kind[5:]}-norm")
        text = f"clips gradients{how} at {against(two.limit, one.limit)}"
    yield Statement(
        "clip",
        text,
        one.limit if one.kind else None,
        two.limit if two.kind else None,
        explains=acts,
        sites=("clip", "clip"),
    )


def _clip(run: RunView) -> _Clip | None:
    """None: not known."""
    kind, limit = run.setting("clip.kind"), run.setting("clip.limit")
    if isinstance(kind, str) and isinstance(limit, int | float):
        norm = run.setting("clip.norm_type")
        return _Clip(f"{kind} {norm}" if norm not in (None, "2.0") else kind, float(limit), True)
    if run.clip_norm is not None:
        return _Clip("norm", run.clip_norm, False)
    if not len(run.record.norms) or run.scales_gradients:
        return None
    return _Clip("", 0.0, False)


def _clip_acts(ground: Ground, one: _Clip, two: _Clip) -> bool:
    """Whether the two updates at the first divergence are given other gradients."""
    ones, twos = (ground.scale(run) for run in ground.runs)
    if not ones or not twos:  # not recorded: a clip acts on a norm above its limit
        norms = [ground.raw_norm(run) for run in ground.runs]
        return any(
            clip.kind and norm > clip.limit for clip, norm in zip((one, two), norms, strict=True)
        )
    factor_one, factor_two = one_factor(ones), one_factor(twos)
    if factor_one is not None and factor_two is not None:
        return abs(factor_two - factor_one) > UNIFORM * factor_one
    return any(abs(twos[n] - ones[n]) > UNIFORM * ones[n] for n in ones if n in twos)
