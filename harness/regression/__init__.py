"""Baselines: what was accepted, and whether a run still is like it."""
