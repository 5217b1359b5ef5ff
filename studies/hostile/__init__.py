"""Records that are damaged on purpose."""
