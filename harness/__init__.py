"""Side-by-side benchmark and equivalence test harness for training loops."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.version import __version__

__all__ = [
    "Case",
    "HarnessError",
    "LightningCallback",
    "Record",
    "RecordError",
    "Report",
    "RunFailed",
    "SpecError",
    "TrainerCallback",
    "__version__",
    "assert_equivalent",
    "bench",
    "check_loop",
    "compare",
    "load",
    "run",
    "trace",
    "watch",
]

if TYPE_CHECKING:
    from harness.api.assertions import assert_equivalent
    from harness.api.bench import bench
    from harness.api.check_loop import check_loop
    from harness.api.compare import compare
    from harness.api.load import Record, load
    from harness.api.run import run
    from harness.api.trace import trace, watch
    from harness.callbacks.lightning import LightningCallback
    from harness.callbacks.trainer import TrainerCallback
    from harness.errors import HarnessError, RecordError, RunFailed, SpecError
    from harness.results.report import Report
    from harness.spec.case import Case
else:
    _MODULES = {
        "Case": "harness.spec.case",
        "HarnessError": "harness.errors",
        "LightningCallback": "harness.callbacks.lightning",
        "Record": "harness.api.load",
        "RecordError": "harness.errors",
        "Report": "harness.results.report",
        "RunFailed": "harness.errors",
        "SpecError": "harness.errors",
        "TrainerCallback": "harness.callbacks.trainer",
        "assert_equivalent": "harness.api.assertions",
        "bench": "harness.api.bench",
        "check_loop": "harness.api.check_loop",
        "compare": "harness.api.compare",
        "load": "harness.api.load",
        "run": "harness.api.run",
        "trace": "harness.api.trace",
        "watch": "harness.api.trace",
    }

    def __getattr__(name: str) -> Any:
        """A public name, imported at its first use, so that `import harness` loads nothing."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names, and no others."""
    return sorted(__all__)
