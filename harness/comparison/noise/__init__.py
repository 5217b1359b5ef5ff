"""The noise band of a reference, measured with runs perturbed by rounding."""
