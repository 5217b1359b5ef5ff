"""Commented files to begin with, which `harness init` writes. They are read as text."""
