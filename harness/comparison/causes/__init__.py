"""Causes of differences: signatures that records show without a further run."""
