"""Regression checks: accept a run as a baseline, and check later runs against it."""
