"""Side-by-side benchmark and equivalence test harness for training loops."""

from typing import TYPE_CHECKING, Any

from harness.version import __version__

__all__ = ["__version__", "run"]

if TYPE_CHECKING:
    from harness.api import run
else:

    def __getattr__(name: str) -> Any:
        """`harness.run`, imported when it is first asked for, so that the package is free."""
        if name != "run":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from harness.api import run

        return run
