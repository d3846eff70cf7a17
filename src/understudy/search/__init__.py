"""Which candidates to try for a budget; knows numbers, not networks."""
