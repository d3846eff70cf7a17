"""The user's own network: read from its module, as layers that can be pruned and trained, and as a program."""
