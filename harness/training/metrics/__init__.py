"""Metrics for the `evaluate` library that ship with the harness."""
