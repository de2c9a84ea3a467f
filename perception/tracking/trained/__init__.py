"""Weights and tuned settings that come along: learned from simulated films alone, by ``knuckle train tracker``."""
