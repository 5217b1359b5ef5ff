"""Are two runs the same? Values, noise, seeds, and causes that need no further run."""
