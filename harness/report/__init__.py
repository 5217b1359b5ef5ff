"""Comparisons and runs -> a report, and the report -> files and tables. Pure: nothing is run here."""
