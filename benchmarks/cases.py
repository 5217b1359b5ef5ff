"""The cases that `pytest benchmarks/` runs."""

from __future__ import annotations

from harness.spec import registry

__all__ = ["CASES"]

CASES = registry.cases()
"""By name: each workload with its default recipe."""
