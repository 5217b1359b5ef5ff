"""The sections of a report: each module turns results into frozen display data."""
