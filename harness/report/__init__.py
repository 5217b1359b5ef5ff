"""Comparisons and runs -> a report -> files and tables. Pure: nothing is run here."""
