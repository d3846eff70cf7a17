"""User files to examples: readers, splits, statistics."""
