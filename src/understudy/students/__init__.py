"""Architectures: a recipe becomes a float program."""
