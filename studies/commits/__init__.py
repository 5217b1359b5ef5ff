"""Pairs of commits of two small repositories, with the lists that each must end in."""
