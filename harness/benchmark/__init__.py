"""Benchmarks: time training loops in turns, and conclude which is faster and how surely."""
