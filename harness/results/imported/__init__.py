"""Logs of runs that were not traced, read as partial records; TensorBoard's event files."""
