"""Recorded settings in which two runs differ, as statements in plain words."""
