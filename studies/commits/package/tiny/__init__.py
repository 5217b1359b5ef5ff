"""A small package that trains a classifier: rows, a network and a loop."""
