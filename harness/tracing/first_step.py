"""What is recorded once, while the first step is made: settings, and where they come from.

Settings are read at the first forward pass, when every part of the training exists. The loss is
known at the first backward pass, and clipping at the first update.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from harness.results.record import Counts
from harness.results.record import Site as RecordedSite
from harness.tracing.call_sites import Site
from harness.tracing.construction import construction_sites
from harness.tracing.live_objects import live_objects
from harness.tracing.loss_function import loss_settings
from harness.tracing.settings import draws_since_seed, live_settings
from harness.tracing.sites import clips_until_now, site_here, wait_for_clips
from harness.tracing.task import Task

__all__ = ["FirstStep"]

_OF_THE_START = ("optimizer.learning_rate",)
"""Settings that a resumed process does not have: its optimizer holds a rate of a later step."""


class FirstStep:
    """Fills `settings` and `sites` of `counts`; of a resumed run, again in the new process."""

    def __init__(self, counts: Counts, task: Task | None) -> None:
        self._counts, self._task = counts, task
        self._draws_at_watch: int | None = None
        self._watched = self._backward_seen = self._update_seen = False
        self.begun = False
        """Whether the first forward pass was seen."""

    def watched(self) -> None:
        """A model or an optimizer is watched, before the training begins."""
        if not self._watched:
            self._watched = True
            self._draws_at_watch = draws_since_seed()

    def begin_pass(
        self,
        models: Sequence[nn.Module],
        optimizers: Sequence[Optimizer],
        names: Mapping[Tensor, str],
        processes: int,
        rates: Sequence[float] | None,
    ) -> None:
        """The first forward pass begins; the arguments are those of `live_settings`."""
        self.begun = True
        live, counts = live_objects(), self._counts
        began = {name: counts.settings[name] for name in _OF_THE_START if name in counts.settings}
        counts.settings = live_settings(
            live, models, optimizers, names, processes, self._task, rates
        )
        counts.settings |= {"rng.draws_at_watch": self._draws_at_watch, **began}
        counts.sites = {}
        for name, site in construction_sites(live, models, optimizers, self._task).items():
            self._note(name, site)
        wait_for_clips()

    def begin_backward(self, roots: Sequence[Tensor]) -> None:
        """A backward pass begins; only the first one counts."""
        if not self._backward_seen:
            self._backward_seen = True
            self._counts.settings |= loss_settings(roots)
            self._note("backward", site_here())

    def begin_update(self) -> None:
        """An update begins; only the first one counts."""
        if self._update_seen:
            return
        self._update_seen = True
        clips = clips_until_now()
        if len({(clip.kind, clip.limit, clip.norm_type) for clip in clips}) != 1:
            return
        clip = clips[0]
        if math.isfinite(clip.limit):  # else it changes nothing
            self._counts.settings |= {"clip.kind": clip.kind, "clip.limit": clip.limit}
            if clip.kind == "norm":
                self._counts.settings["clip.norm_type"] = str(clip.norm_type)
            self._note("clip", clip.site)

    def _note(self, name: str, site: Site | None) -> None:
        if site is not None:
            self._counts.sites[name] = RecordedSite(place=site.place, source=site.source)
