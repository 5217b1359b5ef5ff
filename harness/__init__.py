"""Side-by-side benchmark and equivalence test harness for training loops."""

__version__ = "0.1.0"
