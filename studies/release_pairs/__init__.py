"""The parts of the study of neighbouring releases (`studies/releases.py`)."""
