"""`harness.LightningCallback`: records what a Lightning `Trainer` trains.

It works with `lightning` and with `pytorch_lightning`, whichever the program uses.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.callbacks.traced import Target, TracedTraining, rows_of
from harness.errors import LoopUnavailable
from harness.spec.recipe import Detail

if TYPE_CHECKING:
    from lightning.pytorch import Callback

    from harness.api.trace import Tracing
else:

    def _callback_class() -> Any:
        """The class of callbacks of the library that is in use, or else of one that is there."""
        names = ("lightning.pytorch", "pytorch_lightning")
        for name in sorted(names, key=lambda name: name not in sys.modules):
            try:
                return import_module(name).Callback
            except ImportError as error:
                why = error
        raise LoopUnavailable("harness.LightningCallback needs lightning", why, "install it")

    Callback = _callback_class()

__all__ = ["LightningCallback"]


class LightningCallback(Callback):
    """Pass it to a Trainer: `Trainer(..., callbacks=[harness.LightningCallback("reports/mine")])`.

    Each call of `fit` makes one record in `folder`, a new or empty folder; None: a new one in
    `reports/`. In a loop of your own pass the probe instead: the callback then calls `probe.watch`
    as soon as the optimizers exist. The metrics of a validation whose names begin with `val` are
    reported as an evaluation. The other arguments are those of `harness.trace`.
    """

    def __init__(
        self,
        folder: Target = None,
        *,
        name: str | None = None,
        detail: Detail = "full",
        every: int = 1,
        replace: bool = False,
    ) -> None:
        super().__init__()
        self._training = TracedTraining(folder, name, detail, every, replace)

    @property
    def tracing(self) -> Tracing | None:
        """The trace, with its `folder` and, after the training, its `record`."""
        return self._training.tracing

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to record."""
        self._training.begin(pl_module, *trainer.optimizers)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the metrics of a validation; the check before the training is none."""
        if trainer.sanity_checking:
            return
        loaders = trainer.val_dataloaders
        several = loaders if isinstance(loaders, (list, tuple)) else [loaders]
        metrics = trainer.callback_metrics.items()
        found = {name: value for name, value in metrics if name.startswith("val")}
        self._training.evaluated(found, sum(map(rows_of, several)))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write the record of a training that failed."""
        self._training.end(exception)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Write the record."""
        if stage == "fit":
            self._training.end()
