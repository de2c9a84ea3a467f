"""Recorded experience: where it comes from, how it is checked and kept, and what is made of it for a learner."""
