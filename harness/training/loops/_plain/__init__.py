"""The rules that the plain loop applies, one idea per file, in PyTorch alone."""
