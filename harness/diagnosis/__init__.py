"""Explain a difference between runs by further runs: explain, localize and bisect."""
