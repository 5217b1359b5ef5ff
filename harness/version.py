"""The version of this package, known also where it runs from a checkout and is not installed."""

__all__ = ["__version__"]

__version__ = "0.4.0"
