"""A whole graph, run for long, with random faults from a seed: what is done to it, and what it must do then."""
