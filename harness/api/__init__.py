"""The harness from Python: what the commands do, as functions that return their results."""
