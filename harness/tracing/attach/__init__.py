"""Attaches a probe to a program that knows nothing of it, and finds what the program trains."""
