"""A Siamese network: `python -m siamese` trains it."""
