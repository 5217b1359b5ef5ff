"""`harness.TrainerCallback`: records what the Hugging Face `Trainer` trains.

It uses what the Trainer passes to every callback, and changes nothing. It does not report the
losses that the Trainer logs: each is a sum in single precision over a window of steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.callbacks.traced import Target, TracedTraining, rows_of
from harness.errors import LoopUnavailable
from harness.spec.recipe import Detail

if TYPE_CHECKING:
    from harness.api.trace import Tracing

try:
    import transformers
except ImportError as error:
    raise LoopUnavailable(
        "harness.TrainerCallback needs transformers", error, "install it"
    ) from None

__all__ = ["TrainerCallback"]

_NO_METRICS = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


class TrainerCallback(transformers.TrainerCallback):
    """Pass it to a Trainer: `Trainer(..., callbacks=[harness.TrainerCallback("reports/mine")])`.

    Each call of `train` makes one record in `folder`, a new or empty folder; None: a new one in
    `reports/`. In a loop of your own pass the probe instead: the callback then calls `probe.watch`
    as soon as the optimizer exists, and reports each evaluation. The other arguments are those of
    `harness.trace`.

    The Trainer does not notify its callbacks of an error. The record of a training that failed is
    therefore written when the next one begins or when the process ends.
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
        self._training = TracedTraining(folder, name, detail, every, replace)

    @property
    def tracing(self) -> Tracing | None:
        """The trace, with its `folder` and, after the training, its `record`."""
        return self._training.tracing

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):  # type: ignore[no-untyped-def]  # the signature is the library's
        """Begin to record."""
        self._training.begin(model, optimizer)

    def on_evaluate(self, args, state, control, metrics=None, eval_dataloader=None, **kwargs):  # type: ignore[no-untyped-def]  # as above
        """Report the metrics, without times and memory."""
        found: dict[str, Any] = {}
        for name, value in (metrics or {}).items():
            short = name.removeprefix("eval_")
            if short != name and short not in _NO_METRICS and not short.startswith("mem_"):
                found[short] = value
        self._training.evaluated(found, rows_of(eval_dataloader))

    def on_train_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]  # as above
        """Write the record."""
        self._training.end()
