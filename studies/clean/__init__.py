"""Pairs of trainings that must be called equal."""
