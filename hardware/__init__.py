"""Hands and cameras: what they are (``spec``), how they are kept safe (``safety``), and their drivers."""
