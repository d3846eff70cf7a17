"""Smaller numbers for the same program."""
