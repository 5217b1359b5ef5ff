"""The cases that `pytest benchmarks/` runs."""

from __future__ import annotations

from harness.spec import registry as catalogue

__all__ = ["CASES"]

CASES = catalogue.cases()
"""By name: each workload with its default recipe."""
