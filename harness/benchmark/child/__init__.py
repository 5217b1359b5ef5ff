"""The child process of a bench."""
